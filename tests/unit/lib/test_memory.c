/* SPDX-License-Identifier: MIT */
/* Memory that forked processes share, and memory that they do not have. */

#include "lib/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

enum {
        SIZE = 10000,
};

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
        unsigned char *memory = memory_new_private(SIZE);

        (void)state;
        assert_non_null(memory);
        expect_zeros(memory);
        memset(memory, 7, SIZE);
        process_run(expect_hole, memory);
        assert_int_equal(memory[SIZE - 1], 7);
        assert_null(memory_free(memory, SIZE));
}

static void fill(void *data) {
        memset(data, 7, SIZE);
}

/* Shared memory is zeros, and what a forked process writes there is seen here. */
static void test_shared(void **state) {
        unsigned char *memory = memory_new_shared(SIZE);

        (void)state;
        assert_non_null(memory);
        expect_zeros(memory);
        process_run(fill, memory);
        for (size_t i = 0; i < SIZE; i++)
                assert_int_equal(memory[i], 7);
        assert_null(memory_free(memory, SIZE));
}

static void free_and_look(void *data) {
        (void)data;
        for (int i = 0; i < 2; i++) {
                void *memory = i == 0 ? memory_new_private(SIZE) : memory_new_shared(SIZE);

                memory_free(memory, SIZE);
                expect_hole(memory);
        }
}

/* Freed memory is gone. Nothing can be freed. Memory that cannot be had gives NULL and errno. */
static void test_nothing(void **state) {
        (void)state;
        process_run(free_and_look, NULL);
        assert_null(memory_free(NULL, 5));
        errno = 0;
        assert_null(memory_new_private(SIZE_MAX / 2));
        assert_int_not_equal(errno, 0);
        errno = 0;
        assert_null(memory_new_shared(SIZE_MAX / 2));
        assert_int_not_equal(errno, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_private),
                cmocka_unit_test(test_shared),
                cmocka_unit_test(test_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
