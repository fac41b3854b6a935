/* SPDX-License-Identifier: MIT */
/* The standard descriptors of a process that somebody else started. */

#include "lib/stdfds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fault.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

FAULT(int, dup2, dup2, (int from, int to), (from, to))

static CallFault open_fault;

/* In place of the C library's. */
int open(const char *path, int flags, ...) {
        return fault_strikes(&open_fault) ? -1 : openat(AT_FDCWD, path, flags);
}

static bool is_null(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Where a test's child keeps what was its stderr, so that its assertions are seen. */
static int lowest_free(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        close(fd);
        return fd;
}

static void close_and_fill(void *data) {
        const unsigned closed = *(const unsigned *)data;
        int before = lowest_free();

        for (int fd = 0; fd <= 2; fd++)
                if (closed & 1U << fd)
                        close(fd);
        assert_int_equal(stdfds_fill(), 0);
        assert_int_equal(lowest_free(), before);
        for (int fd = 0; fd <= 2; fd++)
                if (closed & 1U << fd) {
                        assert_true(is_null(fd));
                        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE,
                                         fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
                        assert_int_equal(fcntl(fd, F_GETFD), 0);
                }
}

/* Whichever of the three are closed are /dev/null afterwards, stdin and stdout in the wrong
 * direction; the others are as they were, and nothing else is open. */
static void test_fill(void **state) {
        (void)state;
        for (unsigned closed = 0; closed < 8; closed++)
                process_run(close_and_fill, &closed);
}

typedef struct Standard {
        int fds[3];
        bool stderr_is_stdin;
        bool null[3];
} Standard;

static void detach(void *data) {
        const Standard *standard = data;
        bool was_null[3];

        for (int fd = 0; fd <= 2; fd++)
                assert_int_equal(dup2(standard->fds[fd], fd), fd);
        for (int fd = 0; fd <= 2; fd++)
                was_null[fd] = is_null(fd);
        assert_int_equal(stdfds_stderr_is_stdin(), standard->stderr_is_stdin);
        assert_int_equal(stdfds_detach(), 0);
        for (int fd = 0; fd <= 2; fd++) {
                assert_int_equal(is_null(fd), was_null[fd] || standard->null[fd]);
                assert_int_equal(fcntl(fd, F_GETFD), 0);
        }
        assert_false(stdfds_stderr_is_stdin());
}

/* Nothing that is written to stdout or stderr reaches a socket, nor can pass a descriptor there; a
 * pipe or a file is left alone. */
static void test_detach(void **state) {
        int pair[2], other[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

        (void)state;
        peer_pair(pair);
        peer_pair(other);
        process_run(detach, &(Standard){ { pair[0], pair[0], pair[0] }, true, { 1, 1, 1 } });
        process_run(detach, &(Standard){ { pair[0], 1, pair[0] }, true, { 1, 0, 1 } });
        process_run(detach, &(Standard){ { pair[0], pair[0], other[0] }, false, { 1, 1, 1 } });
        process_run(detach, &(Standard){ { pair[0], pair[1], 2 }, false, { 1, 1, 0 } });
        process_run(detach, &(Standard){ { file, file, file }, false, { 1, 0, 0 } });
        process_run(detach, &(Standard){ { file, pair[0], pair[0] }, false, { 1, 1, 1 } });
        close(pair[0]);
        close(pair[1]);
        close(other[0]);
        close(other[1]);
        close(file);
}

static void compare_closed(void *data) {
        (void)data;
        close(STDIN_FILENO);
        assert_false(stdfds_stderr_is_stdin());
}

/* A closed stdin is no socket. */
static void test_closed(void **state) {
        (void)state;
        process_run(compare_closed, NULL);
}

static void lack(void *data) {
        const int before = lowest_free();

        (void)data;
        close(STDIN_FILENO);
        open_fault = (CallFault){ .error = ENFILE, .times = 1 };
        assert_int_equal(stdfds_fill(), -ENFILE);
        assert_int_equal(stdfds_fill(), 0);
        open_fault = (CallFault){ .error = ENFILE, .times = 1 };
        assert_int_equal(stdfds_detach(), -ENFILE);
        dup2_fault = (CallFault){ .error = EBUSY, .times = 1 };
        assert_int_equal(stdfds_detach(), -EBUSY);
        assert_int_equal(lowest_free(), before);
}

/* Without /dev/null, or a descriptor for it, neither works, and nothing is left open. */
static void test_lack(void **state) {
        (void)state;
        process_run(lack, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lack),
                cmocka_unit_test(test_fill),
                cmocka_unit_test(test_detach),
                cmocka_unit_test(test_closed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
