/* SPDX-License-Identifier: MIT */
/* Unsent bytes of mpecho 0.1.0: a memfd with a cookie and the bytes, or a bundle of such memfds. */

#include "restart/legacy.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "peer.h"
#include "process.h"
#include "restart/bundle.h"
#include "restart/unsent.h"
#include "unit.h"

enum {
        FIRST = 7,
        SECOND = 8,
};

FAULT(ssize_t, pread, pread64, (int fd, void *data, size_t size, off_t offset),
      (fd, data, size, offset))
FAULT(ssize_t, recvmsg, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))

static int opened; /* descriptors before and after a test */

static int old_unsent(uint64_t cookie, const char *text) {
        const int fd = memfd_create("mpecho-pending", MFD_CLOEXEC);

        assert_int_equal(write(fd, &cookie, sizeof cookie), sizeof cookie);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return fd;
}

static int set_up(void **state) {
        (void)state;
        opened = process_count_descriptors();
        return 0;
}

/* No test leaves a descriptor open. */
static int tear_down(void **state) {
        (void)state;
        assert_int_equal(process_count_descriptors(), opened);
        return 0;
}

/* The bytes behind the cookie come back as a memfd of this version, which has no cookie. */
static void expect_found(int fd, uint64_t cookie, const char *text) {
        char back[16] = "";
        int unsent = legacy_find_unsent(fd, cookie);

        assert_true(unsent >= 0);
        assert_int_equal(unsent_take(unsent, back, sizeof back), strlen(text));
        assert_string_equal(back, text);
        close(unsent);
}

/* A memfd belongs to the connection of its cookie alone, and can be read again. */
static void test_alone(void **state) {
        int fd = old_unsent(FIRST, "bytes");

        (void)state;
        assert_true(legacy_is_unsent(fd));
        assert_int_equal(legacy_find_unsent(fd, SECOND), -ENOENT);
        expect_found(fd, FIRST, "bytes");
        expect_found(fd, FIRST, "bytes");
        close(fd);
}

/* In a bundle each connection finds its own bytes, whatever their order. */
static void test_bundle(void **state) {
        const int fds[] = { old_unsent(FIRST, "one"), old_unsent(SECOND, "two") };
        int bundle = bundle_new(fds, 2);

        (void)state;
        assert_true(bundle >= 0);
        assert_true(legacy_is_unsent(bundle));
        expect_found(bundle, SECOND, "two");
        expect_found(bundle, FIRST, "one");
        assert_int_equal(legacy_find_unsent(bundle, 0), -ENOENT);
        close(bundle);
        close(fds[0]);
        close(fds[1]);
}

/* A memfd without a whole cookie, or without a byte behind it, holds nothing. */
static void test_too_short(void **state) {
        int nothing = old_unsent(FIRST, ""), half = old_unsent(FIRST, "bytes");

        (void)state;
        assert_int_equal(ftruncate(half, 4), 0);
        assert_int_equal(legacy_find_unsent(nothing, FIRST), -ENOENT);
        assert_int_equal(legacy_find_unsent(half, FIRST), -ENOENT);
        close(nothing);
        close(half);
}

/* A connection, a pipe and no descriptor hold no bytes: a stored connection stays one. */
static void test_others(void **state) {
        int pair[2], pipes[2];

        (void)state;
        peer_pair(pair);
        assert_int_equal(pipe(pipes), 0);
        assert_false(legacy_is_unsent(pair[0]));
        assert_false(legacy_is_unsent(pipes[0]));
        assert_false(legacy_is_unsent(-1));
        assert_int_equal(legacy_find_unsent(pipes[0], FIRST), -ENOENT);
        for (int i = 0; i < 2; i++) {
                close(pair[i]);
                close(pipes[i]);
        }
}

static void find_without_room(void *unused) {
        const int fd = old_unsent(FIRST, "bytes"), bundle = bundle_new(&fd, 1);
        const int next = dup(STDIN_FILENO);

        (void)unused;
        close(next);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next);
        assert_int_equal(legacy_find_unsent(fd, FIRST), -EMFILE);
        assert_int_equal(legacy_find_unsent(fd, SECOND), -ENOENT);
        assert_int_equal(legacy_find_unsent(bundle, FIRST), -EMFILE);
        assert_int_equal(legacy_find_unsent(bundle, SECOND), -EMFILE);
}

/* Bytes for which there is no descriptor are not none, nor are those that may be in a bundle. */
static void test_no_room(void **state) {
        (void)state;
        process_run(find_without_room, NULL);
}

/* Bytes that cannot be read are not none; those that are found need no bundle. */
static void test_errors(void **state) {
        const int fd = old_unsent(FIRST, "bytes");

        (void)state;
        for (int after = 0; after < 2; after++) {
                pread_fault = (CallFault){ .error = EIO, .after = after, .times = 1 };
                assert_int_equal(legacy_find_unsent(fd, FIRST), -EIO);
                assert_int_equal(pread_fault.times, 0);
        }
        recvmsg_fault = (CallFault){ .error = EIO, .times = 1 };
        expect_found(fd, FIRST, "bytes");
        assert_int_equal(recvmsg_fault.times, 0);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bundle, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_too_short, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
