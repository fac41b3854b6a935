/* SPDX-License-Identifier: MIT */
/* The shared memory that outlives handlers and masters. */

#include "restart/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "process.h"
#include "restart/bundle.h"
#include "seed.h"
#include "unit.h"

enum {
        SLOTS = 3,
        ROUNDS = 10000,
        MANY_SLOTS = 3000, /* more than a page of 64 KiB holds */
        NOW = 1000,
        SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
        HANDLERS = 0,
        MASTERS = 1,
        PARTS = 2,
};

/* F_SEAL_EXEC of Linux 6.3, which it sets by itself on files that cannot be executed. */
#define SEAL_EXEC 0x0020

/* How the masters' part begins. */
typedef struct Head {
        uint64_t version;
        uint64_t slots;
} Head;

static Ledger *ledger;
static int bundle;
static int parts[BUNDLE_MOST];
static size_t sizes[PARTS], slot_sizes[PARTS] = { sizeof(LedgerEntry), sizeof(LedgerFacts) };
static Head heads[PARTS];
static unsigned flags_missing; /* in calls of memfd_create(2) */

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))
FAULT(int, madvise, madvise, (void *address, size_t size, int advice), (address, size, advice))

static CallFault fstat_fault;

/* In place of the C library's. */
int fstat(int fd, struct stat *status) {
        return fault_strikes(&fstat_fault) ? -1 : fstatat(fd, "", status, AT_EMPTY_PATH);
}

int memfd_create(const char *name, unsigned flags) {
        return (int)syscall(SYS_memfd_create, name, flags & ~flags_missing);
}

static int set_up(void **state) {
        struct stat status = {};

        (void)state;
        assert_int_equal(ledger_new(SLOTS, NOW, &ledger), 0);
        bundle = ledger_take_bundle(ledger);
        assert_true(bundle >= 0);
        assert_int_equal(bundle_open(bundle, parts), PARTS);
        for (size_t i = 0; i < PARTS; i++) {
                assert_int_equal(fstat(parts[i], &status), 0);
                sizes[i] = (size_t)status.st_size;
                assert_int_equal(pread(parts[i], &heads[i], sizeof(Head), 0), sizeof(Head));
        }
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        ledger = ledger_free(ledger);
        for (size_t i = 0; i < PARTS; i++)
                close(parts[i]);
        return close(bundle);
}

/* A new ledger has its slots, all free, and counts nothing. */
static void test_new(void **state) {
        (void)state;
        assert_int_equal(ledger_slots(ledger), SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
                assert_int_equal(ledger_entry(ledger, i)->bytes, 0);
                assert_int_equal(ledger_entry(ledger, i)->reason, 0);
                assert_int_equal((uintptr_t)ledger_entry(ledger, i) % 64, 0);
                assert_int_equal(ledger_facts(ledger, i)->cookie, 0);
                assert_int_equal(ledger_facts(ledger, i)->begun, 0);
        }
        assert_int_equal(ledger_counts(ledger)->started, NOW);
        assert_int_equal(ledger_counts(ledger)->metrics.accepted, 0);
        assert_null(ledger_free(NULL));
}

/* What handlers and masters have written is read from the bundle, also after they are gone. */
static void test_read_back(void **state) {
        Ledger *before;

        (void)state;
        ledger_entry(ledger, 1)->bytes = 100;
        ledger_facts(ledger, 1)->begun = 1;
        ledger_facts(ledger, 1)->cookie = 17;
        strcpy(ledger_facts(ledger, 1)->listener, "[::]:7");
        ledger_facts(ledger, 2)->handler = 4711;
        ledger_counts(ledger)->metrics.accepted = 3;
        ledger = ledger_free(ledger);

        assert_int_equal(ledger_open(bundle, &before), 0);
        assert_int_equal(ledger_slots(before), SLOTS);
        assert_int_equal(ledger_entry(before, 1)->bytes, 100);
        assert_int_equal(ledger_facts(before, 1)->begun, 1);
        assert_int_equal(ledger_facts(before, 1)->cookie, 17);
        assert_string_equal(ledger_facts(before, 1)->listener, "[::]:7");
        assert_int_equal(ledger_facts(before, 2)->handler, 4711);
        assert_int_equal(ledger_counts(before)->metrics.accepted, 3);
        assert_int_equal(ledger_counts(before)->started, NOW);
        assert_null(ledger_free(before));
}

/* The size of both parts cannot be changed. Each is a file of its own. */
static void test_sealed(void **state) {
        struct stat one = {}, other = {};

        (void)state;
        for (size_t i = 0; i < PARTS; i++) {
                assert_int_equal(fcntl(parts[i], F_GET_SEALS) & SEALS, SEALS);
                assert_int_equal(ftruncate(parts[i], 0), -1);
                assert_int_equal(ftruncate(parts[i], (off_t)sizes[i] + 1), -1);
        }
        assert_int_equal(fstat(parts[0], &one), 0);
        assert_int_equal(fstat(parts[1], &other), 0);
        assert_true(one.st_ino != other.st_ino);
}

static bool is_mapped(const void *memory) {
        const size_t in_page = (uintptr_t)memory % (size_t)getpagesize();
        unsigned char resident;

        return mincore((char *)memory - in_page, 1, &resident) == 0;
}

static void look(void *data) {
        const Ledger *other = *(Ledger *const *)data;

        assert_true(is_mapped(&parts));
        assert_true(is_mapped(ledger_entry(ledger, 0)));
        assert_true(is_mapped(ledger_exits(ledger)));
        assert_false(is_mapped(ledger_facts(ledger, 0)));
        assert_false(is_mapped(ledger_facts(ledger, SLOTS - 1)));
        assert_false(is_mapped(ledger_counts(ledger)));
        assert_false(is_mapped(ledger_facts(other, 0)));
        assert_false(is_mapped(ledger_counts(other)));
}

/* No forked process has the masters' part, neither of this run's ledger nor of an earlier one. */
static void test_not_inherited(void **state) {
        Ledger *before;

        (void)state;
        assert_int_equal(ledger_open(bundle, &before), 0);
        assert_true(is_mapped(ledger_facts(ledger, 0)));
        assert_true(is_mapped(ledger_facts(before, 0)));
        process_run(look, &before);
        ledger_free(before);
}

static void look_again(void *data) {
        (void)data;
        assert_true(is_mapped(ledger_facts(ledger, 0)));
        assert_true(is_mapped(ledger_facts(ledger, SLOTS - 1)));
        assert_int_equal(ledger_facts(ledger, 1)->cookie, 17);
}

static void look_in_vain(void *data) {
        (void)data;
        assert_false(is_mapped(ledger_facts(ledger, 0)));
        assert_false(is_mapped(ledger_facts(ledger, SLOTS - 1)));
}

/* While it is shared a forked process has the masters' part, the same memory as its parent; others
 * have it not. The kernel can refuse either. */
static void test_share(void **state) {
        (void)state;
        assert_int_equal(ledger_share(ledger, true), 0);
        ledger_facts(ledger, 1)->cookie = 17;
        process_run(look_again, NULL);
        for (int i = 0; i < 2; i++) {
                madvise_fault = (CallFault){ .error = ENOMEM, .times = 1 };
                assert_int_equal(ledger_share(ledger, i == 0), -ENOMEM);
        }
        assert_int_equal(ledger_share(ledger, false), 0);
        process_run(look_in_vain, NULL);
}

static void write_entry(void *data) {
        LedgerEntry *entry = data;

        entry->bytes = 4711;
        ledger_announce_exit(ledger_exits(ledger), entry);
}

/* The handlers' part is shared with them. */
static void test_shared(void **state) {
        uint32_t slots[SLOTS];

        (void)state;
        process_run(write_entry, ledger_entry(ledger, 2));
        assert_int_equal(ledger_entry(ledger, 2)->bytes, 4711);
        assert_int_equal(ledger_take_exits(ledger, slots, SLOTS), 1);
        assert_int_equal(slots[0], 2);
}

static void announce(uint32_t slot) {
        /* NOLINTNEXTLINE(bugprone-signal-handler) */
        ledger_announce_exit(ledger_exits(ledger), ledger_entry(ledger, slot));
}

/* All announcements are taken once, as far as there is room. */
static void test_exits(void **state) {
        bool taken[SLOTS] = {};
        uint32_t slots[SLOTS];

        (void)state;
        assert_int_equal(ledger_take_exits(ledger, slots, SLOTS), 0);
        for (uint32_t i = 0; i < SLOTS; i++)
                announce(i);
        assert_int_equal(ledger_take_exits(ledger, slots, SLOTS), SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
                assert_in_range(slots[i], 0, SLOTS - 1);
                assert_false(taken[slots[i]]);
                taken[slots[i]] = true;
        }
        assert_int_equal(ledger_take_exits(ledger, slots, SLOTS), 0);
        for (uint32_t i = 0; i < SLOTS; i++)
                announce(i);
        assert_int_equal(ledger_take_exits(ledger, slots, 1), 1);
        assert_int_equal(ledger_take_exits(ledger, slots, SLOTS), 0);
}

static char *page; /* of the last entry */

/* Another handler exits just when the write to an entry is about to begin, which raises the signal.
 */
static void announce_another(int signal) {
        (void)signal;
        /* NOLINTNEXTLINE(bugprone-signal-handler) */
        (void)mprotect(page, 1, PROT_READ | PROT_WRITE);
        announce(0);
}

static void announce_at_once(void *unused) {
        const uint32_t last = MANY_SLOTS - 1;
        uint32_t slots[3];

        (void)unused;
        assert_int_equal(ledger_new(MANY_SLOTS, NOW, &ledger), 0);
        page = (char *)ledger_entry(ledger, last);
        page -= (uintptr_t)page % (size_t)getpagesize();
        assert_true(page > (char *)ledger_entry(ledger, 0));
        assert_true(signal(SIGSEGV, announce_another) != SIG_ERR);
        assert_int_equal(mprotect(page, 1, PROT_NONE), 0);
        announce(last);
        assert_int_equal(ledger_take_exits(ledger, slots, COUNT(slots)), 2);
        assert_int_equal(slots[0], last);
        assert_int_equal(slots[1], 0);
}

/* Of handlers that exit at once, no announcement is lost. */
static void test_exits_at_once(void **state) {
        (void)state;
        process_run(announce_at_once, NULL);
}

/* The first member of LedgerExits, which a compromised handler can write. */
static void set_last(uint32_t last) {
        memcpy(ledger_exits(ledger), &last, sizeof last);
}

/* Whatever a handler links, a circle or slots that do not exist, taking ends with slots that do. */
static void test_lies(void **state) {
        static const uint32_t beyond[] = { SLOTS + 1, LEDGER_MOST, UINT32_MAX };
        uint32_t slots[7];

        (void)state;
        announce(0);
        announce(1);
        announce(0);
        assert_int_equal(ledger_take_exits(ledger, slots, COUNT(slots)), COUNT(slots));
        for (uint32_t i = 0; i < COUNT(slots); i++)
                assert_int_equal(slots[i], i % 2);
        ledger_entry(ledger, 2)->announced_before = 3;
        set_last(3);
        assert_int_equal(ledger_take_exits(ledger, slots, COUNT(slots)), COUNT(slots));
        assert_int_equal(slots[COUNT(slots) - 1], 2);
        for (size_t i = 0; i < COUNT(beyond); i++) {
                set_last(beyond[i]);
                assert_int_equal(ledger_take_exits(ledger, slots, COUNT(slots)), 0);
                ledger_entry(ledger, 0)->announced_before = beyond[i];
                set_last(1);
                assert_int_equal(ledger_take_exits(ledger, slots, COUNT(slots)), 1);
        }
}

/* A memfd of @length bytes: part @i with @head. */
static int forge(size_t i, Head head, size_t length, int seals) {
        const int copy = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char data[4096];

        assert_in_range(sizes[i], sizeof head, sizeof data);
        assert_int_equal(pread(parts[i], data, sizes[i], 0), sizes[i]);
        memcpy(data, &head, sizeof head);
        assert_int_equal(write(copy, data, sizes[i]), sizes[i]);
        assert_int_equal(ftruncate(copy, (off_t)length), 0);
        assert_int_equal(fcntl(copy, F_ADD_SEALS, seals), 0);
        return copy;
}

/* Opens a ledger of @n descriptors, which are closed. */
static int try_fds(const int *fds, size_t n) {
        const int forged = bundle_new(fds, n);
        Ledger *before;
        int r;

        assert_true(forged >= 0);
        for (size_t i = 0; i < n; i++)
                close(fds[i]);
        r = ledger_open(forged, &before);
        close(forged);
        if (r == 0)
                ledger_free(before);
        return r;
}

/* Opens a ledger in which @copy, which is closed, takes the place of part @i. */
static int try_part(size_t i, int copy) {
        int fds[PARTS];

        assert_true(copy >= 0);
        fds[i] = copy;
        fds[1 - i] = dup(parts[1 - i]);
        return try_fds(fds, PARTS);
}

/* A part that could change its size, has another one than it says, or is of another version, makes
 * the bundle no ledger. */
static void test_forged_part(void **state) {
        (void)state;
        for (size_t i = 0; i < PARTS; i++) {
                const Head head = heads[i];
                const uint64_t wrapping = UINT64_MAX / slot_sizes[i] + 1 + SLOTS;
                const uint64_t numbers[] = { 0,          SLOTS - 1, SLOTS + 1, LEDGER_MOST + 1,
                                             UINT64_MAX, wrapping };

                assert_int_equal(try_part(i, forge(i, head, sizes[i], SEALS)), 0);
                for (int seal = 1; seal <= F_SEAL_GROW; seal *= 2)
                        assert_int_equal(try_part(i, forge(i, head, sizes[i], SEALS & ~seal)),
                                         -EBADMSG);
                assert_int_equal(try_part(i, forge(i, head, sizes[i] - 1, SEALS)), -EBADMSG);
                assert_int_equal(try_part(i, forge(i, head, sizes[i] + 1, SEALS)), -EBADMSG);
                assert_int_equal(try_part(i, forge(i, head, 0, SEALS)), -EBADMSG);
                assert_int_equal(try_part(i, forge(i, head, 15, SEALS)), -EBADMSG);
                if (i == MASTERS)
                        assert_int_equal(try_part(i, forge(i, (Head){ head.version + 1, SLOTS },
                                                           sizes[i], SEALS)),
                                         -EBADMSG);
                for (size_t k = 0; i == MASTERS && k < COUNT(numbers); k++)
                        assert_int_equal(try_part(i, forge(i, (Head){ head.version, numbers[k] },
                                                           sizes[i], SEALS)),
                                         -EBADMSG);
                assert_int_equal(try_part(i, open("/dev/null", O_RDWR | O_CLOEXEC)), -EBADMSG);
                assert_int_equal(try_part(i, socket(AF_UNIX, SOCK_STREAM, 0)), -EBADMSG);
        }
}

/* A kernel may set more seals than were asked for; they are no reason to refuse a part. */
static void test_more_seals(void **state) {
        static const int more[] = { F_SEAL_FUTURE_WRITE, F_SEAL_WRITE, SEAL_EXEC };

        (void)state;
        for (size_t k = 0; k < COUNT(more); k++)
                for (size_t i = 0; i < PARTS; i++) {
                        const int copy = forge(i, heads[i], sizes[i], 0);

                        /* Linux before 6.3 does not know SEAL_EXEC. */
                        if (fcntl(copy, F_ADD_SEALS, more[k]) < 0) {
                                assert_int_equal(more[k], SEAL_EXEC);
                                assert_int_equal(errno, EINVAL);
                        }
                        assert_int_equal(fcntl(copy, F_ADD_SEALS, SEALS), 0);
                        assert_int_equal(try_part(i, copy), 0);
                }
}

/* A bundle of one part, of three, of both in the other order, or of parts with different numbers of
 * slots is no ledger; nor is what is no bundle. */
static void test_forged_bundle(void **state) {
        Ledger *other, *before;
        int fds[BUNDLE_MOST];

        (void)state;
        assert_int_equal(try_fds((int[]){ dup(parts[0]) }, 1), -EBADMSG);
        assert_int_equal(try_fds((int[]){ dup(parts[0]), dup(parts[1]), dup(parts[1]) }, 3),
                         -EBADMSG);
        assert_int_equal(try_fds((int[]){ dup(parts[1]), dup(parts[0]) }, 2), -EBADMSG);
        assert_int_equal(ledger_open(parts[0], &before), -EBADMSG);

        assert_int_equal(ledger_new(SLOTS + 1, NOW, &other), 0);
        close(bundle);
        bundle = ledger_take_bundle(other);
        ledger_free(other);
        assert_int_equal(bundle_open(bundle, fds), PARTS);
        assert_int_equal(try_fds((int[]){ dup(parts[0]), fds[1] }, 2), -EBADMSG);
        assert_int_equal(try_fds((int[]){ fds[0], dup(parts[1]) }, 2), -EBADMSG);
}

/* A memfd of any bytes, many of which are what part @i has, for any number of slots. Sets whether
 * it is such a part. */
static int make_anything(size_t i, bool *ret_right, uint64_t *ret_slots) {
        const int copy = memfd_create("anything", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        const int seals = random() % 4 == 0 ? (int)(random() % 8) : SEALS;
        const size_t empty = sizes[i] - SLOTS * slot_sizes[i];
        size_t length = (size_t)random() % (2 * sizes[i]);
        char data[4096];
        Head head;

        seed_fill(data, sizeof data);
        memcpy(&head, data, sizeof head);
        if (random() % 8 != 0)
                head.version = heads[MASTERS].version;
        if (random() % 8 != 0)
                head.slots = (uint64_t)random() % 2;
        if (random() % 8 != 0 && head.slots < SLOTS)
                length = empty + head.slots * slot_sizes[i];
        if (i == MASTERS)
                memcpy(data, &head, sizeof head);
        assert_in_range(length, 0, sizeof data);
        assert_int_equal(write(copy, data, length), length);
        assert_int_equal(fcntl(copy, F_ADD_SEALS, seals), 0);
        if (i == HANDLERS)
                head = (Head){ heads[MASTERS].version, (length - empty) / slot_sizes[i] };
        *ret_slots = head.slots;
        *ret_right = seals == SEALS && length >= empty && head.version == heads[MASTERS].version &&
                     head.slots <= LEDGER_MOST && length == empty + head.slots * slot_sizes[i];
        return copy;
}

/* Any bytes are a ledger when versions, sizes and seals are right, and are refused otherwise. */
static void test_anything(void **state) {
        int ledgers = 0;

        (void)state;
        (void)seed_choose();
        for (int round = 0; round < ROUNDS; round++) {
                uint64_t slots[PARTS];
                bool right[PARTS];
                int fds[PARTS];
                bool expected;

                for (size_t i = 0; i < PARTS; i++)
                        fds[i] = make_anything(i, &right[i], &slots[i]);
                expected = right[0] && right[1] && slots[0] == slots[1];
                assert_int_equal(try_fds(fds, PARTS), expected ? 0 : -EBADMSG);
                ledgers += expected;
        }
        assert_in_range(ledgers, ROUNDS / 20, ROUNDS / 2);
}

static void make_without_room(void *unused) {
        const int next = dup(STDIN_FILENO);
        Ledger *other;

        (void)unused;
        close(next);
        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        process_set_limit(RLIMIT_FSIZE, 64);
        assert_int_equal(ledger_new(SLOTS, NOW, &other), -EFBIG);
        process_set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
        for (rlim_t room = 0; room < PARTS; room++) {
                process_set_limit(RLIMIT_NOFILE, (rlim_t)next + room);
                assert_int_equal(ledger_new(SLOTS, NOW, &other), -EMFILE);
                assert_int_equal(ledger_open(bundle, &other), -EMFILE);
        }
        assert_int_equal(dup(STDIN_FILENO), next);
}

/* Without room for its files or their descriptors there is no ledger, and none of them stays open.
 */
static void test_no_room(void **state) {
        (void)state;
        process_run(make_without_room, NULL);
}

/* What the kernel refuses to a ledger, by the call and how many calls pass before: no ledger is
 * made or opened then, and none of its descriptors stays open. */
static void test_refused(void **state) {
        static const struct {
                CallFault *fault;
                int after, error, making, opening;
        } cases[] = {
                { &mmap_fault, 0, ENOMEM, -ENOMEM, -ENOMEM },
                { &mmap_fault, 1, ENOMEM, -ENOMEM, -ENOMEM },
                { &madvise_fault, 0, EINVAL, -EINVAL, -EBADMSG },
                { &madvise_fault, 1, EINVAL, 0, -EBADMSG },
                { &fstat_fault, 0, EIO, 0, -EBADMSG },
        };
        const int lowest = dup(STDIN_FILENO);
        Ledger *other;

        (void)state;
        close(lowest);
        for (size_t i = 0; i < COUNT(cases); i++) {
                const CallFault fault = { cases[i].error, cases[i].after, 1 };

                *cases[i].fault = fault;
                assert_int_equal(ledger_new(SLOTS, NOW, &other), cases[i].making);
                if (cases[i].making == 0)
                        ledger_free(other);
                *cases[i].fault = fault;
                assert_int_equal(ledger_open(bundle, &other), cases[i].opening);
                assert_int_equal(cases[i].fault->times, 0);
        }
        flags_missing = ~MFD_CLOEXEC;
        assert_int_equal(ledger_new(SLOTS, NOW, &other), -EPERM);
        flags_missing = 0;
        assert_int_equal(dup(STDIN_FILENO), lowest);
        close(lowest);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_new),           TEST(test_read_back),     TEST(test_sealed),
                TEST(test_not_inherited), TEST(test_share),         TEST(test_shared),
                TEST(test_exits),         TEST(test_lies),          TEST(test_forged_part),
                TEST(test_more_seals),    TEST(test_forged_bundle), TEST(test_anything),
                TEST(test_no_room),       TEST(test_exits_at_once), TEST(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
