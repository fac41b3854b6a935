/* SPDX-License-Identifier: MIT */
/*
 * Keeps what the next master needs in two sealed memfds, which systemd's descriptor store holds in
 * one bundle for as long as the service restarts.
 *
 * - The handlers' part is inherited by every handler. Each one counts its bytes there, and notes
 *   why its connection ended, in case no master reaps it. Handlers also announce their exits there,
 *   in a lock-free stack: waitpid(2) for any child would look at thousands of them to find one.
 * - The masters' part is not inherited (MADV_DONTFORK), and it is a file of its own: a handler
 *   could otherwise grow its mapping over the rest of a shared file (mremap(2)). The master notes
 *   there, before it forks, that a handler begins: the next master decides by that.
 *
 * The counts are in the masters' part, so they survive a crash and add up afterwards. Nothing that
 * a handler writes may decide anything: a number that is too large is reported as it is, and the
 * announcements are only hints where to look first.
 */
#include "restart/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/descriptor.h"
#include "lib/mapping.h"
#include "restart/bundle.h"

/* Another layout of either part needs another number. */
#define VERSION UINT64_C(0x6d706563686f0007)

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The lock of another kind of atomics would be one process's own. */
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "handlers and masters share 64-bit counts");

struct LedgerExits {
        _Atomic uint32_t last; /* the slot that was announced last, plus 1; 0 for none */
};

/* Handlers write it, so it holds nothing that describes its layout. */
typedef struct HandlersPart {
        LedgerExits exits;
        LedgerEntry entries[];
} HandlersPart;

/* Masters and keepers map it. Keepers write LedgerFacts.kept alone. */
typedef struct MastersPart {
        uint64_t version;
        uint64_t slots;
        LedgerCounts counts;
        LedgerFacts facts[];
} MastersPart;

struct Ledger {
        uint32_t slots;
        HandlersPart *handlers;
        MastersPart *masters;
        int handlers_fd; /* and masters_fd: -1 once taken, and in an earlier run's ledger */
        int masters_fd;
};

static size_t handlers_size(uint64_t slots) {
        return sizeof(HandlersPart) + slots * sizeof(LedgerEntry);
}

static size_t masters_size(uint64_t slots) {
        return sizeof(MastersPart) + slots * sizeof(LedgerFacts);
}

static Ledger *ledger_new_empty(uint32_t slots) {
        Ledger *ledger = malloc(sizeof *ledger);

        if (ledger != NULL)
                *ledger = (Ledger){ .slots = slots, .handlers_fd = -1, .masters_fd = -1 };
        return ledger;
}

Ledger *ledger_free(Ledger *ledger) {
        if (ledger == NULL)
                return NULL;
        mapping_free(ledger->handlers, handlers_size(ledger->slots));
        mapping_free(ledger->masters, masters_size(ledger->slots));
        descriptor_close(ledger->handlers_fd);
        descriptor_close(ledger->masters_fd);
        free(ledger);
        return NULL;
}

/* Creates a sealed file of @size bytes and maps it. Returns its descriptor, or a negative errno. */
static int part_new(const char *name, size_t size, void **ret_part) {
        void *part = MAP_FAILED;
        int fd, r;

        fd = mapping_new_file(name);
        if (fd < 0)
                return fd;
        if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
                part = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (part == MAP_FAILED) {
                r = -errno;
                assert(r < 0);
                close(fd);
                return r;
        }
        *ret_part = part;
        return fd;
}

static int ledger_create(Ledger *ledger, uint64_t now) {
        const uint32_t slots = ledger->slots;
        void *part;

        ledger->handlers_fd = part_new("mpecho-handlers", handlers_size(slots), &part);
        if (ledger->handlers_fd < 0)
                return ledger->handlers_fd;
        ledger->handlers = part;

        ledger->masters_fd = part_new("mpecho-masters", masters_size(slots), &part);
        if (ledger->masters_fd < 0)
                return ledger->masters_fd;
        ledger->masters = part;

        ledger->masters->version = VERSION;
        ledger->masters->slots = slots;
        ledger->masters->counts.started = now;
        return ledger_share(ledger, false);
}

int ledger_share(Ledger *ledger, bool shared) {
        const int advice = shared ? MADV_DOFORK : MADV_DONTFORK;

        return madvise(ledger->masters, masters_size(ledger->slots), advice) < 0 ? -errno : 0;
}

int ledger_new(uint32_t slots, uint64_t now, Ledger **ret_ledger) {
        Ledger *ledger;
        int r;

        ledger = ledger_new_empty(slots);
        if (ledger == NULL)
                return -ENOMEM;
        r = ledger_create(ledger, now);
        if (r < 0) {
                ledger_free(ledger);
                return r;
        }
        *ret_ledger = ledger;
        return 0;
}

int ledger_take_bundle(Ledger *ledger) {
        const int fds[] = { ledger->handlers_fd, ledger->masters_fd };
        const int bundle = bundle_new(fds, 2);

        if (bundle < 0)
                return bundle;
        ledger->handlers_fd = descriptor_close(ledger->handlers_fd);
        ledger->masters_fd = descriptor_close(ledger->masters_fd);
        return bundle;
}

bool ledger_is_taken(const Ledger *ledger) {
        return ledger->masters_fd < 0;
}

/* Maps the file @fd of an earlier ledger for reading, if it has at least @least bytes. The
 * seals keep it from shrinking under the reader; the kernel may have set others as well. Returns 0
 * and sets @ret_part and @ret_size, or a negative errno. */
static int part_open(int fd, size_t least, void **ret_part, size_t *ret_size) {
        const int seals = fcntl(fd, F_GET_SEALS);
        struct stat status;
        void *part;

        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) < 0 ||
            status.st_size < (off_t)least)
                return -EBADMSG;
        part = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (part == MAP_FAILED)
                return -ENOMEM;
        /* Handlers that are forked while the master restores must not inherit who was connected. */
        if (madvise(part, (size_t)status.st_size, MADV_DONTFORK) < 0) {
                (void)munmap(part, (size_t)status.st_size);
                return -EBADMSG;
        }
        *ret_part = part;
        *ret_size = (size_t)status.st_size;
        return 0;
}

/* Returns whether the parts are those of a ledger of this version. */
static bool parts_fit(const MastersPart *masters, size_t size, size_t handlers_bytes) {
        return masters->version == VERSION && masters->slots <= LEDGER_MOST &&
               size == masters_size(masters->slots) &&
               handlers_bytes == handlers_size(masters->slots);
}

static int ledger_map(const int fds[static 2], Ledger **ret_ledger) {
        size_t size = 0, handlers_bytes = 0;
        void *handlers = NULL, *masters = NULL;
        Ledger *ledger;
        int r;

        r = part_open(fds[0], sizeof(HandlersPart), &handlers, &handlers_bytes);
        if (r == 0)
                r = part_open(fds[1], sizeof(MastersPart), &masters, &size);
        if (r == 0 && !parts_fit(masters, size, handlers_bytes))
                r = -EBADMSG;
        ledger = r == 0 ? ledger_new_empty(((MastersPart *)masters)->slots) : NULL;
        if (ledger == NULL) {
                mapping_free(handlers, handlers_bytes);
                mapping_free(masters, size);
                return r < 0 ? r : -ENOMEM;
        }
        ledger->handlers = handlers;
        ledger->masters = masters;
        *ret_ledger = ledger;
        return 0;
}

int ledger_open(int bundle, Ledger **ret_ledger) {
        int fds[BUNDLE_MOST], n, r;

        n = bundle_open(bundle, fds);
        if (n < 0)
                return n == -EMFILE ? n : -EBADMSG;
        r = n == 2 ? ledger_map(fds, ret_ledger) : -EBADMSG;
        while (n > 0)
                close(fds[--n]);
        return r;
}

uint32_t ledger_slots(const Ledger *ledger) {
        return ledger->slots;
}

LedgerEntry *ledger_entry(const Ledger *ledger, uint32_t slot) {
        return &ledger->handlers->entries[slot];
}

LedgerFacts *ledger_facts(const Ledger *ledger, uint32_t slot) {
        return &ledger->masters->facts[slot];
}

LedgerCounts *ledger_counts(const Ledger *ledger) {
        return &ledger->masters->counts;
}

LedgerExits *ledger_exits(const Ledger *ledger) {
        return &ledger->handlers->exits;
}

/* A stack: `last` is its top, and `announced_before` the next entry below. Handlers only push, and
 * the master takes the whole stack at once, so no entry can be popped under a handler. */
void ledger_announce_exit(LedgerExits *exits, LedgerEntry *entry) {
        const HandlersPart *handlers =
                        (const HandlersPart *)((char *)exits - offsetof(HandlersPart, exits));
        uint32_t last = atomic_load(&exits->last);

        do
                atomic_store(&entry->announced_before, last);
        while (!atomic_compare_exchange_weak(&exits->last, &last,
                                             (uint32_t)(entry - handlers->entries) + 1));
}

uint32_t ledger_take_exits(Ledger *ledger, uint32_t *ret_slots, uint32_t most) {
        uint32_t last = atomic_exchange(&ledger->handlers->exits.last, 0), n = 0;

        /* A handler can have linked a circle: @most bounds it. */
        while (last != 0 && last <= ledger->slots && n < most) {
                ret_slots[n++] = last - 1;
                last = atomic_load(&ledger_entry(ledger, last - 1)->announced_before);
        }
        return n;
}
