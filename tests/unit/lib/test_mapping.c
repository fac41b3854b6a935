/* SPDX-License-Identifier: MIT */
/* Memory that forked processes share, and memory that they do not have. */

#include "lib/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

enum {
        SIZE = 10000,
        NOEXEC = 0x0008, /* MFD_NOEXEC_SEAL, which the headers of Debian 12 lack */
};

static int refusal; /* the error of memfd_create(2) for a file that cannot be executed, or 0 */

/* In place of the C library's: a kernel that cannot make such files, or does not want to. */
int memfd_create(const char *name, unsigned flags) {
        if (refusal != 0 && (flags & NOEXEC) != 0) {
                errno = refusal;
                return -1;
        }
        return (int)syscall(SYS_memfd_create, name, flags);
}

static void expect_zeros(const unsigned char *memory) {
        for (size_t i = 0; i < SIZE; i++)
                assert_int_equal(memory[i], 0);
}

/* mincore(2) fails where nothing is mapped. */
static void expect_hole(void *data) {
        unsigned char resident;

        for (size_t i = 0; i < SIZE; i += (size_t)getpagesize()) {
                assert_int_equal(mincore((char *)data + i, 1, &resident), -1);
                assert_int_equal(errno, ENOMEM);
        }
}

/* Private memory is zeros, and a forked process has a hole there. */
static void test_private(void **state) {
        unsigned char *memory = mapping_new_unforked(SIZE);

        (void)state;
        assert_non_null(memory);
        expect_zeros(memory);
        memset(memory, 7, SIZE);
        process_run(expect_hole, memory);
        assert_int_equal(memory[SIZE - 1], 7);
        assert_null(mapping_free(memory, SIZE));
}

static void fill(void *data) {
        memset(data, 7, SIZE);
}

/* Shared memory is zeros, and what a forked process writes there is seen here. */
static void test_shared(void **state) {
        unsigned char *memory = mapping_new_shared(SIZE);

        (void)state;
        assert_non_null(memory);
        expect_zeros(memory);
        process_run(fill, memory);
        for (size_t i = 0; i < SIZE; i++)
                assert_int_equal(memory[i], 7);
        assert_null(mapping_free(memory, SIZE));
}

static void free_and_look(void *data) {
        (void)data;
        for (int i = 0; i < 2; i++) {
                void *memory = i == 0 ? mapping_new_unforked(SIZE) : mapping_new_shared(SIZE);

                mapping_free(memory, SIZE);
                expect_hole(memory);
        }
}

/* Freed memory is gone. Nothing can be freed. Memory that cannot be had gives NULL and errno. */
static void test_nothing(void **state) {
        (void)state;
        process_run(free_and_look, NULL);
        assert_null(mapping_free(NULL, 5));
        errno = 0;
        assert_null(mapping_new_unforked(SIZE_MAX / 2));
        assert_int_not_equal(errno, 0);
        errno = 0;
        assert_null(mapping_new_shared(SIZE_MAX / 2));
        assert_int_not_equal(errno, 0);
}

/* A file in memory begins empty, can be sealed, is closed by execve(2), and cannot be executed
 * where the kernel can forbid that. */
static void test_file(void **state) {
        const int fd = mapping_new_file("mpecho-test");
        struct stat status;

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fstat(fd, &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(status.st_size, 0);
        assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL, 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
        assert_int_equal(write(fd, "x", 1), -1);
        if (access("/proc/sys/vm/memfd_noexec", F_OK) == 0)
                assert_int_equal(status.st_mode & 0111, 0);
        close(fd);
}

/* A kernel that does not know how to forbid execution makes the file without that. Any other error
 * of the kernel is the result. */
static void test_file_of_an_old_kernel(void **state) {
        int fd;

        (void)state;
        refusal = EINVAL;
        fd = mapping_new_file("mpecho-test");
        refusal = 0;
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL, 0);
        close(fd);

        refusal = ENFILE;
        fd = mapping_new_file("mpecho-test");
        refusal = 0;
        assert_int_equal(fd, -ENFILE);
}

static void fill_descriptors(void *data) {
        (void)data;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 }), 0);
        assert_int_equal(mapping_new_file("mpecho-test"), -EMFILE);
}

/* Without a descriptor to be had there is no file. */
static void test_no_file(void **state) {
        (void)state;
        process_run(fill_descriptors, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_private),
                cmocka_unit_test(test_shared),
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_file),
                cmocka_unit_test(test_file_of_an_old_kernel),
                cmocka_unit_test(test_no_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
