/* SPDX-License-Identifier: MIT */
/* The number that stands for a stream. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "client/content/digest.h"

enum {
        SIZE = 1003,
        ROUNDS = 500,
};

static uint8_t stream[SIZE];

static uint64_t digest(size_t most) {
        Digest digest = {};

        for (size_t done = 0, n; done < SIZE; done += n) {
                n = (size_t)lrand48() % most + 1;
                n = n < SIZE - done ? n : SIZE - done;
                digest_add(&digest, stream + done, n);
        }
        return digest_get(&digest);
}

static int prepare(void **state) {
        (void)state;
        srand48(862);
        for (size_t i = 0; i < SIZE; i++)
                stream[i] = (uint8_t)lrand48();
        return 0;
}

/* The pieces do not matter. */
static void test_pieces(void **state) {
        uint64_t whole = digest(SIZE);

        (void)state;
        for (size_t i = 1; i < ROUNDS; i++)
                assert_true(digest(i) == whole);
}

/* Each bit matters, and the order of bytes. */
static void test_differences(void **state) {
        uint64_t whole = digest(SIZE);

        (void)state;
        for (size_t bit = 0; bit < 8 * (size_t)SIZE; bit++) {
                stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(digest(SIZE) == whole);
                stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t i = 0; i + 16 < SIZE; i++) {
                uint8_t kept[16];

                memcpy(kept, stream + i, sizeof kept);
                memcpy(stream + i, kept + 8, 8);
                memcpy(stream + i + 8, kept, 8);
                assert_false(digest(SIZE) == whole);
                memcpy(stream + i, kept, sizeof kept);
        }
        assert_true(digest(SIZE) == whole);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_pieces, prepare),
                cmocka_unit_test_setup(test_differences, prepare),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
