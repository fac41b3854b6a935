/* SPDX-License-Identifier: MIT */
/* The stream of pseudo-random bytes, made in any pieces, and found again. */

#include "unit.h"

#include <string.h>

#include "client/content/pattern.h"

enum {
        BLOCK = PATTERN_BLOCK_WORDS * PATTERN_WORD_SIZE,
        SIZE = 3 * BLOCK,
};

static Pattern pattern;
static uint8_t whole[SIZE];

/* Pieces of any size and alignment are those of the whole, across blocks too. */
static void test_pieces(void **state) {
        static const size_t sizes[] = { 1, 3, 7, 8, 9, 31, 32, 33, 4097, BLOCK - 1, BLOCK + 5 };
        static uint8_t piece[SIZE];

        (void)state;
        for (size_t i = 0; i < COUNT(sizes); i++)
                for (size_t offset = 0; offset + sizes[i] <= SIZE; offset += 1021) {
                        memset(piece, 0, sizes[i] + 1);
                        pattern_fill(&pattern, offset, piece, sizes[i]);
                        assert_memory_equal(piece, whole + offset, sizes[i]);
                        assert_int_equal(piece[sizes[i]], 0);
                }
}

/* Each aligned pair of words is found where it is, the one across two blocks too; no other is. */
static void test_find(void **state) {
        uint64_t offset;

        (void)state;
        for (size_t at = 0; at + 16 <= SIZE; at++) {
                bool found = pattern_find(&pattern, whole + at, SIZE, &offset);

                if (found != (at % 8 == 0) || (found && offset != at))
                        fail_msg("at %zu", at);
        }
}

/* Terabytes away it is the same, and beyond the limit nothing is found. */
static void test_far(void **state) {
        const uint64_t far = (UINT64_C(1) << 50) - 8;
        uint8_t words[16];
        uint64_t offset;

        (void)state;
        pattern_fill(&pattern, far, words, sizeof words);
        assert_true(pattern_find(&pattern, words, far + 16, &offset));
        assert_int_equal(offset, far);
        assert_false(pattern_find(&pattern, words, far + 15, &offset));
}

/* Foreign bytes are nowhere, even when they are the stream's, all changed in the same way. */
static void test_foreign(void **state) {
        uint8_t words[16];
        uint64_t offset;

        (void)state;
        for (size_t at = 0; at < BLOCK; at += 8) {
                for (size_t i = 0; i < sizeof words; i++)
                        words[i] = whole[at + i] ^ 0xff;
                assert_false(pattern_find(&pattern, words, UINT64_C(1) << 50, &offset));
        }
        assert_false(pattern_find(&pattern, memset(words, 0, 16), UINT64_C(1) << 50, &offset));
}

/* Blocks have nothing in common at the same place, and seeds neither. */
static void test_different(void **state) {
        static Pattern other;
        static uint8_t others[SIZE];
        size_t same = 0;

        (void)state;
        pattern_init_seed(&other, 863);
        pattern_fill(&other, 0, others, SIZE);
        for (size_t i = 0; i < sizeof whole - BLOCK; i += 8) {
                same += memcmp(whole + i, whole + i + BLOCK, 8) == 0;
                same += memcmp(whole + i, others + i, 8) == 0;
        }
        assert_int_equal(same, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces),    cmocka_unit_test(test_find),
                cmocka_unit_test(test_far),       cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_different),
        };

        pattern_init_seed(&pattern, 862);
        pattern_fill(&pattern, 0, whole, SIZE);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
