/* SPDX-License-Identifier: MIT */
/* Bytes that travel from one handler to the next. */

#include "restart/unsent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

static char data[256 * 1024], back[sizeof data];
static size_t missing; /* bytes of a read */
static CallFault pread_fault;

/* In place of the C library's, which has it under this name for an off_t of 64 bits. */
ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
        static ssize_t (*real)(int, void *, size_t, off_t);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "pread64");
        return fault_strikes(&pread_fault) ? -1 : real(fd, buffer, size - missing, offset);
}

static int set_up(void **state) {
        (void)state;
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)peer_pattern(i);
        return 0;
}

/* A byte, and a handler's whole buffer, come back whatever the position of the descriptor is. */
static void test_sizes(void **state) {
        static const size_t sizes[] = { 1, sizeof data };

        (void)state;
        for (size_t i = 0; i < COUNT(sizes); i++) {
                const int fd = unsent_new(data, sizes[i]);

                assert_true(fd >= 0);
                assert_true(lseek(fd, 0, SEEK_END) == (off_t)sizes[i]);
                memset(back, 0, sizeof back);
                assert_int_equal(unsent_take(fd, back, sizes[i]), sizes[i]);
                assert_memory_equal(back, data, sizes[i]);
                close(fd);
        }
}

/* The first one who takes the bytes empties the file for all that have it. */
static void test_twice(void **state) {
        const int fd = unsent_new(data, 5), copy = dup(fd);
        struct stat status;

        (void)state;
        assert_int_equal(unsent_take(fd, back, sizeof back), 5);
        assert_int_equal(fstat(copy, &status), 0);
        assert_int_equal(status.st_size, 0);
        assert_int_equal(unsent_take(copy, back, sizeof back), -ENODATA);
        assert_int_equal(unsent_take(fd, back, sizeof back), -ENODATA);
        close(fd);
        close(copy);
}

/* Bytes for which there is no room stay there, all of them. */
static void test_too_many(void **state) {
        const int fd = unsent_new(data, 5);

        (void)state;
        memset(back, 0, 5);
        assert_int_equal(unsent_take(fd, back, 4), -EFBIG);
        assert_memory_equal(back, ((const char[5]){}), 5);
        assert_int_equal(unsent_take(fd, back, 5), 5);
        close(fd);
}

/* A file that cannot be emptied gives nothing: another process would write its bytes again. */
static void test_sealed(void **state) {
        const int fd = unsent_new(data, 5);

        (void)state;
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        assert_int_equal(unsent_take(fd, back, sizeof back), -EPERM);
        close(fd);
}

/* When not all bytes can be read, none is taken. */
static void test_unread(void **state) {
        const int fd = unsent_new(data, 5);

        (void)state;
        pread_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        assert_int_equal(unsent_take(fd, back, sizeof back), -ENOMEM);
        missing = 1;
        assert_int_equal(unsent_take(fd, back, sizeof back), -EIO);
        missing = 0;
        assert_int_equal(unsent_take(fd, back, sizeof back), 5);
        close(fd);
}

/* A pipe, a socket, a device and a closed descriptor are no memfds. */
static void test_strangers(void **state) {
        int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)state;
        assert_false(unsent_is_file(-1));
        assert_int_equal(pipe(pair), 0);
        assert_int_equal(unsent_take(pair[0], back, sizeof back), -EBADMSG);
        close(pair[0]);
        close(pair[1]);
        peer_pair(pair);
        assert_int_equal(unsent_take(pair[0], back, sizeof back), -EBADMSG);
        close(pair[0]);
        close(pair[1]);
        assert_int_equal(unsent_take(null, back, sizeof back), -EBADMSG);
        close(null);
        assert_int_equal(unsent_take(-1, back, sizeof back), -EBADF);
}

static void make_without_room(void *unused) {
        const int next = dup(STDIN_FILENO);

        (void)unused;
        close(next);
        process_set_limit(RLIMIT_FSIZE, 4);
        assert_int_equal(unsent_new(data, 5), -ENOSPC);
        assert_int_equal(dup(STDIN_FILENO), next);
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next + 1);
        assert_int_equal(unsent_new(data, 1), -EMFILE);
}

/* Without room for all bytes, or for a descriptor, there is no file, and none stays open. */
static void test_no_room(void **state) {
        (void)state;
        process_run(make_without_room, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),     cmocka_unit_test(test_twice),
                cmocka_unit_test(test_too_many),  cmocka_unit_test(test_sealed),
                cmocka_unit_test(test_strangers), cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_unread),
        };

        return cmocka_run_group_tests(tests, set_up, NULL);
}
