/* SPDX-License-Identifier: MIT */
/* What a roster leaves for the next master. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "seed.h"
#include "server/roster.h"
#include "unit.h"

enum {
        SLOTS = 3,
        ROUNDS = 10000,
        ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

static const Address somebody = { .family = AF_UNIX, .local = { .uid = 1000, .pid = 4242 } };
static const Listener listener = { .fd = -1, .text = "[::]:7" };

static Roster *roster;
static int fd; /* of its image */
static size_t size;

static int set_up(void **state) {
        struct stat status;

        (void)state;
        assert_int_equal(roster_new(SLOTS, &roster), 0);
        fd = roster_take_fd(roster);
        assert_int_equal(fstat(fd, &status), 0);
        size = (size_t)status.st_size;
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        roster_free(roster);
        return close(fd);
}

static uint32_t take(pid_t handler, uint64_t cookie, uint64_t bytes) {
        uint32_t slot = roster_claim(roster, &somebody, cookie, &listener, 1000);

        roster_assign(roster, slot, handler);
        roster_slot(roster, slot)->bytes = bytes;
        return slot;
}

/* What is known of a connection, and the counts, are read back, also after the roster is gone; what
 * was released is free, and what was left stays. */
static void test_read_back(void **state) {
        const RosterSlot *slot;
        RosterImage *image;
        uint32_t kept, left, released, slots = 0;

        (void)state;
        kept = take(7, 17, 100);
        left = take(8, 18, 20);
        released = take(9, 19, 3);
        roster_release(roster, released);
        roster_leave(roster, left);
        assert_int_equal(roster_live(roster), 1);
        assert_int_equal(roster_find(roster, 8), ROSTER_NONE);
        assert_int_equal(roster_total_bytes(roster), 123);
        roster_counts(roster)->served = 3;
        roster_free(roster);

        assert_int_equal(roster_image_open(fd, &image, &slots), 0);
        assert_int_equal(slots, SLOTS);
        assert_int_equal(roster_image_counts(image)->served, 3);
        assert_int_equal(roster_image_counts(image)->peak, 3);
        assert_int_equal(roster_image_counts(image)->bytes, 3);
        assert_in_range(roster_image_counts(image)->started_usec, 1, clock_now());
        slot = roster_image_slot(image, kept);
        assert_int_equal(slot->cookie, 17);
        assert_int_equal(slot->bytes, 100);
        assert_int_equal(slot->started_usec, 1000);
        assert_int_equal(slot->handler, 7);
        assert_int_equal(slot->reason, 0);
        assert_int_equal(slot->peer.local.pid, 4242);
        assert_int_equal(roster_image_slot(image, left)->cookie, 18);
        assert_int_equal(roster_image_slot(image, released)->cookie, 0);
        roster_image_free(image, slots);
        assert_int_equal(roster_new(SLOTS, &roster), 0);
}

/* Its size cannot be changed, and there is one descriptor of it to take. */
static void test_sealed(void **state) {
        (void)state;
        assert_int_equal(roster_take_fd(roster), -1);
        assert_int_equal(fcntl(fd, F_GET_SEALS), ALL_SEALS);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, (off_t)size + 1), -1);
}

/* A memfd of @length bytes: what the image has, with the number @value in place of the one at
 * @position. */
static int forge(size_t length, int seals, off_t position, uint64_t value) {
        int copy = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char data[4096];

        assert_in_range(size, 0, sizeof data);
        assert_int_equal(pread(fd, data, size, 0), size);
        assert_int_equal(write(copy, data, size), size);
        if (position >= 0)
                assert_int_equal(pwrite(copy, &value, sizeof value, position), sizeof value);
        assert_int_equal(ftruncate(copy, (off_t)length), 0);
        assert_int_equal(fcntl(copy, F_ADD_SEALS, seals), 0);
        return copy;
}

static int try_open(int copy) {
        RosterImage *image;
        uint32_t slots;
        int r = roster_image_open(copy, &image, &slots);

        if (r == 0)
                roster_image_free(image, slots);
        close(copy);
        return r;
}

/* What could shrink under its reader, has another size than it says, or is another version's, is no
 * image. */
static void test_no_image(void **state) {
        const uint64_t wrapping = UINT64_MAX / sizeof(RosterSlot) + 1 + SLOTS;
        uint64_t version;

        (void)state;
        assert_int_equal(pread(fd, &version, sizeof version, 0), sizeof version);
        assert_int_equal(try_open(forge(size, ALL_SEALS, -1, 0)), 0);
        assert_int_equal(try_open(forge(size, 0, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(size, F_SEAL_GROW | F_SEAL_SEAL, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(size - 1, ALL_SEALS, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(size + 1, ALL_SEALS, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(0, ALL_SEALS, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(15, ALL_SEALS, -1, 0)), -EBADMSG);
        assert_int_equal(try_open(forge(size, ALL_SEALS, 0, version + 1)), -EBADMSG);
        assert_int_equal(try_open(forge(size, ALL_SEALS, 8, SLOTS - 1)), -EBADMSG);
        assert_int_equal(try_open(forge(size, ALL_SEALS, 8, SLOTS + 1)), -EBADMSG);
        assert_int_equal(try_open(forge(size, ALL_SEALS, 8, UINT64_MAX)), -EBADMSG);
        /* The size that these slots need is the same modulo 2^64. */
        assert_int_equal(try_open(forge(size, ALL_SEALS, 8, wrapping)), -EBADMSG);
        assert_int_equal(try_open(open("/dev/null", O_RDWR | O_CLOEXEC)), -EBADMSG);
        assert_int_equal(try_open(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), -EBADMSG);
}

/* The first two numbers of an image. */
typedef struct Head {
        uint64_t version;
        uint64_t slots;
} Head;

/* Whether @length bytes with this head are an image. */
static bool is_image(const Head *head, uint64_t version, size_t length) {
        return length >= size - SLOTS * sizeof(RosterSlot) && head->version == version &&
               head->slots <= ROSTER_MOST &&
               length == size + (head->slots - SLOTS) * sizeof(RosterSlot);
}

/* Opens the image in @copy, which is closed, and reads all of it. Returns whether it is one. */
static bool read_all(int copy) {
        char text[ADDRESS_TEXT_SIZE];
        RosterImage *image;
        uint32_t slots;
        int r = roster_image_open(copy, &image, &slots);

        close(copy);
        if (r < 0) {
                assert_int_equal(r, -EBADMSG);
                return false;
        }
        (void)*(const volatile uint64_t *)&roster_image_counts(image)->bytes;
        for (uint32_t i = 0; i < slots; i++) {
                const RosterSlot *slot = roster_image_slot(image, i);

                (void)*(const volatile uint64_t *)&slot->cookie;
                address_format(&slot->peer, text);
                assert_in_range(strlen(text), 1, sizeof text - 1);
        }
        roster_image_free(image, slots);
        return true;
}

/* A memfd of any bytes, many of which are what an image has. Tells whether it is an image. */
static int make_anything(uint64_t version, bool *ret_image) {
        int copy = memfd_create("anything", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        /* Of the seals in linux/fcntl.h, all but those that would forbid to write here. */
        const int seals = random() % 4 == 0 ? (int)(random() % 8) : ALL_SEALS;
        char data[2048];
        const uint64_t most_slots = 2 * (uint64_t)SLOTS;
        size_t length = (size_t)random() % (2 * size);
        Head head;

        seed_fill(data, sizeof data);
        memcpy(&head, data, sizeof head);
        if (random() % 8 != 0)
                head.version = version;
        if (random() % 8 != 0)
                head.slots = (uint64_t)random() % most_slots;
        if (random() % 2 == 0 && head.slots < most_slots)
                length = size + (head.slots - SLOTS) * sizeof(RosterSlot);
        memcpy(data, &head, sizeof head);
        assert_in_range(length, 0, sizeof data);
        assert_int_equal(write(copy, data, length), length);
        assert_int_equal(fcntl(copy, F_ADD_SEALS, seals), 0);
        *ret_image = seals == ALL_SEALS && is_image(&head, version, length);
        return copy;
}

/* Whatever bytes there are, they are an image if version, size and seals are right, and then all of
 * it can be read; else they are refused. */
static void test_anything(void **state) {
        uint64_t version;
        int images = 0;

        (void)state;
        (void)seed_choose();
        assert_int_equal(pread(fd, &version, sizeof version, 0), sizeof version);
        for (int i = 0; i < ROUNDS; i++) {
                bool image;
                int copy = make_anything(version, &image);

                assert_int_equal(read_all(copy), image);
                images += image;
        }
        assert_in_range(images, ROUNDS / 10, ROUNDS / 2);
}

/* A connection goes on from the start and the bytes that it had, and never from the future. */
static void test_resume(void **state) {
        const RosterSlot before = { .bytes = 4711, .started_usec = 500 };
        const RosterSlot future = { .bytes = 1, .started_usec = UINT64_MAX };
        uint32_t one = take(7, 17, 0), other = take(8, 18, 0);

        (void)state;
        roster_resume(roster, one, &before);
        assert_int_equal(roster_entry(roster, one)->started_usec, 500);
        assert_int_equal(roster_slot(roster, one)->started_usec, 500);
        assert_int_equal(roster_slot(roster, one)->bytes, 4711);
        roster_resume(roster, other, &future);
        assert_int_equal(roster_entry(roster, other)->started_usec, 1000);
        assert_int_equal(roster_slot(roster, other)->started_usec, 1000);
        assert_int_equal(roster_total_bytes(roster), 4712);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_read_back, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_sealed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_image, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_anything, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_resume, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
