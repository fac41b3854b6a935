/* SPDX-License-Identifier: MIT */
/* The comparison of a stream with what was sent: every fault is found, placed and named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/content/comparison.h"

enum {
        TOTAL = 100003,
        ROUNDS = 500,
        LONGEST = 5000,
        LARGE = 4 << 20,
};

static Pattern pattern;
static uint8_t original[TOTAL], edited[2 * TOTAL];
static size_t edited_size;
static Comparison comparison;

static int prepare(void **state) {
        (void)state;
        srand48(862);
        pattern_fill(&pattern, 0, original, TOTAL);
        return 0;
}

static size_t draw(size_t from, size_t to) {
        return from + (size_t)lrand48() % (to - from + 1);
}

/* A length of each order of magnitude as likely as the others. */
static size_t draw_length(size_t least) {
        static const size_t bounds[] = { 1, 7, 8, 16, 23, 24, 100, LONGEST };

        return draw(least, bounds[draw(0, 7)] + least);
}

static void restart(void) {
        memcpy(edited, original, TOTAL);
        edited_size = TOTAL;
}

static void put(size_t at, const void *data, size_t size) {
        memmove(edited + at + size, edited + at, edited_size - at);
        memcpy(edited + at, data, size);
        edited_size += size;
}

static void cut(size_t at, size_t size) {
        memmove(edited + at, edited + at + size, edited_size - at - size);
        edited_size -= size;
}

/* Compares in pieces of all sizes, so that each fault meets every edge. */
static void compare(bool complete) {
        size_t most = draw(0, 3) == 0 ? 20 : 70000;

        comparison_init(&comparison, &pattern, TOTAL);
        for (size_t at = 0, n; at < edited_size; at += n) {
                n = draw(1, most);
                if (n > edited_size - at)
                        n = edited_size - at;
                comparison_take(&comparison, edited + at, n);
        }
        comparison_end(&comparison, complete);
        assert_int_equal(comparison.received, edited_size);
}

/* The first difference is where the fault is said to be. */
static void expect(FaultKind kind, size_t size) {
        size_t first = 0;

        while (first < edited_size && first < TOTAL && edited[first] == original[first])
                first++;
        assert_int_equal(comparison.first[0].kind, kind);
        assert_int_equal(comparison.first[0].offset, first);
        assert_int_equal(comparison.first[0].size, size);
        assert_true(comparison.faults > 0);
}

/* An unchanged stream has no fault, however it is cut into pieces. */
static void test_intact(void **state) {
        (void)state;
        restart();
        for (int i = 0; i < 20; i++) {
                compare(true);
                assert_int_equal(comparison.faults, 0);
                assert_int_equal(comparison.first[0].kind, FAULT_NONE);
        }
}

/* Any part of the pattern is the same, however it is asked for, and each word knows its place. */
static void test_pattern(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t at = draw(0, TOTAL - LONGEST), size = draw(0, LONGEST);
                uint8_t part[LONGEST];
                uint64_t offset;

                pattern_fill(&pattern, at, part, size);
                assert_memory_equal(part, original + at, size);
                assert_int_equal(pattern_find(&pattern, original + at, TOTAL, &offset),
                                 at % PATTERN_WORD_SIZE == 0);
                if (at % PATTERN_WORD_SIZE == 0)
                        assert_int_equal(offset, at);
        }
        assert_false(pattern_find(&pattern, original + 64, 64, &(uint64_t){ 0 }));
        assert_false(pattern_find(&pattern, original + 64, 72, &(uint64_t){ 0 }));
        assert_true(pattern_find(&pattern, original + 64, 80, &(uint64_t){ 0 }));
}

/* One flipped bit anywhere is found, with its byte. */
static void test_flip(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t at = i == 0 ? 0 : i == 1 ? TOTAL - 1 : draw(0, TOTAL - 1);

                restart();
                edited[at] ^= (uint8_t)(1 << draw(0, 7));
                compare(true);
                expect(FAULT_CHANGED, 1);
                assert_int_equal(comparison.first[0].bits, 1);
                assert_int_equal(comparison.first[0].sent, original[at]);
                assert_int_equal(comparison.first[0].received, edited[at]);
                assert_int_equal(comparison.faults, 1);
        }
}

/* Left out bytes are counted, and what follows them is no further fault. */
static void test_drop(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw_length(1), at = draw(0, TOTAL - size - 8);

                restart();
                cut(at, size);
                compare(true);
                expect(FAULT_DROPPED, size);
                assert_int_equal(comparison.faults, 1);
        }
}

/* Bytes that come a second time are told from foreign ones. */
static void test_duplicate(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw_length(1), at = draw(size, TOTAL);

                restart();
                put(at, original + at - size, size);
                compare(true);
                expect(FAULT_DUPLICATED, size);
                assert_int_equal(comparison.faults, 1);
        }
}

/* A few bytes that differ in the first one alone from those before them are no repetition. */
static void test_nearly_duplicate(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw(1, 16), at = draw(size, TOTAL);

                restart();
                put(at, original + at - size, size);
                /* Not to the byte behind them, which they would repeat, one byte later. */
                edited[at] ^= (edited[at] ^ 0x10) == original[at] ? 0x20 : 0x10;
                compare(true);
                assert_int_not_equal(comparison.first[0].kind, FAULT_DUPLICATED);
        }
}

static void test_insert(void **state) {
        static const uint8_t foreign[LONGEST + 100] = { 0 };

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw_length(4), at = draw(0, TOTAL);

                restart();
                put(at, foreign, size);
                compare(true);
                expect(FAULT_INSERTED, size);
                assert_int_equal(comparison.faults, 1);
        }
}

/* No byte belongs in front of the stream, whatever its value is. */
static void test_insert_first(void **state) {
        uint8_t foreign[16] = { 0 };

        (void)state;
        pattern_fill(&pattern, UINT64_MAX, &foreign[sizeof foreign - 1], 1);
        restart();
        put(0, foreign, sizeof foreign);
        for (int i = 0; i < 20; i++) {
                compare(true);
                expect(FAULT_INSERTED, sizeof foreign);
                assert_int_equal(comparison.faults, 1);
        }
}

/* Two neighbouring blocks of any lengths that changed places are the same bytes in another order.
 */
static void test_swap(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t first = draw_length(2), second = draw_length(2);
                size_t at = draw(0, TOTAL - first - second - 32);

                restart();
                memcpy(edited + at, original + at + first, second);
                memcpy(edited + at + second, original + at, first);
                if (memcmp(edited, original, TOTAL) == 0)
                        continue;
                compare(true);
                assert_int_equal(comparison.first[0].kind, FAULT_REORDERED);
        }
}

/* A block that comes later than it should, as a segment that overtook another does. */
static void test_delay(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw(1000, LONGEST), at = draw(0, TOTAL - 3 * LONGEST);
                size_t to = at + draw(1000, LONGEST);

                restart();
                cut(at, size);
                put(to, original + at, size);
                compare(true);
                assert_int_equal(comparison.first[0].kind, FAULT_REORDERED);
                assert_int_equal(comparison.first[0].size, size);
        }
}

/* As many bytes as are missing are no sign of another order: they are others. */
static void test_same_size(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw(32, 1000);
                uint8_t others[1000] = {};

                for (size_t at = 0; at < size; at++)
                        others[at] = (uint8_t)draw(0, 255);
                restart();
                cut(1000, size);
                put(50000, others, size);
                compare(true);
                assert_int_equal(comparison.first[0].kind, FAULT_DROPPED);
                restart();
                put(1000, others, size);
                cut(50000, size);
                compare(true);
                assert_int_equal(comparison.first[0].kind, FAULT_INSERTED);
                assert_int_equal(comparison.faults, 2);
        }
}

/* What ends too early is truncated, and only that. */
static void test_truncate(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t size = draw(1, TOTAL);

                restart();
                cut(TOTAL - size, size);
                compare(true);
                expect(FAULT_TRUNCATED, size);
                compare(false);
                assert_int_equal(comparison.faults, 0);
        }
}

/* Another stream is recognized as another one. */
static void test_other_stream(void **state) {
        (void)state;
        restart();
        pattern_fill(&(Pattern){ .seed = 7 }, 0, edited + 1000, TOTAL - 1000);
        compare(true);
        assert_int_equal(comparison.first[0].kind, FAULT_UNRECOGNIZED);
        assert_in_range(comparison.first[0].offset, 1000, 1010);
}

/* The first of several faults is the one that is told; all are counted. */
static void test_several(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                restart();
                edited[90000] ^= 0x10;
                edited[60000] ^= 0xff;
                cut(30000, 10);
                compare(true);
                expect(FAULT_DROPPED, 10);
                assert_int_equal(comparison.faults, 3);
        }
}

/* What a difference is called does not depend on the one before. */
static void test_one_after_the_other(void **state) {
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                uint8_t block[7];

                restart();
                edited[30000] ^= 0x10;
                memcpy(block, edited + 60000, sizeof block);
                memmove(edited + 60000, edited + 60007, sizeof block);
                memcpy(edited + 60007, block, sizeof block);
                compare(true);
                expect(FAULT_CHANGED, 1);
                assert_int_equal(comparison.faults, 2);
                assert_int_equal(comparison.first[1].kind, FAULT_REORDERED);
        }
}

/* Random damage of all kinds at once is never taken for intact. */
static void test_never_intact(void **state) {
        (void)state;
        for (int i = 0; i < 4 * ROUNDS; i++) {
                restart();
                for (size_t edits = draw(1, 4); edits > 0; edits--) {
                        size_t at = draw(0, edited_size - LONGEST), size = draw_length(1);

                        switch (draw(0, 3)) {
                        case 0:
                                edited[at] ^= (uint8_t)draw(1, 255);
                                break;
                        case 1:
                                cut(at, size < LONGEST ? size : LONGEST);
                                break;
                        case 2:
                                put(at, original + draw(0, TOTAL - 2 * LONGEST), size);
                                break;
                        default:
                                memset(edited + at, 'x', size < LONGEST ? size : LONGEST);
                        }
                }
                if (edited_size == TOTAL && memcmp(edited, original, TOTAL) == 0)
                        continue;
                compare(true);
                assert_true(comparison.faults > 0);
                assert_int_not_equal(comparison.first[0].kind, FAULT_NONE);
        }
}

/* Damage of any size is one fault, and what follows it is compared again. */
static void test_large(void **state) {
        static uint8_t sent[LARGE], came[2 * LARGE];
        static const struct {
                FaultKind kind;
                size_t size;
        } damages[] = {
                { FAULT_CHANGED, 100000 },  { FAULT_CHANGED, 1500001 },
                { FAULT_INSERTED, 70000 },  { FAULT_INSERTED, 2000000 },
                { FAULT_DROPPED, 1000003 }, { FAULT_DUPLICATED, 300000 },
        };

        (void)state;
        pattern_fill(&pattern, 0, sent, LARGE);
        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
                size_t size = damages[i].size, at = draw(size, LARGE - size - 1000), n = LARGE;

                memcpy(came, sent, LARGE);
                if (damages[i].kind == FAULT_CHANGED) {
                        for (size_t j = 0; j < size; j++)
                                came[at + j] ^= 0xff;
                } else if (damages[i].kind == FAULT_DROPPED) {
                        memmove(came + at, sent + at + size, LARGE - at - size);
                        n -= size;
                } else {
                        memmove(came + at + size, sent + at, LARGE - at);
                        memset(came + at, 'x', size);
                        if (damages[i].kind == FAULT_DUPLICATED)
                                memcpy(came + at, sent + at - size, size);
                        n += size;
                }
                /* The last byte as well, to see that it is compared. */
                came[n - 1] ^= 1;

                comparison_init(&comparison, &pattern, LARGE);
                for (size_t done = 0, part; done < n; done += part) {
                        part = draw(1, 300000);
                        part = part < n - done ? part : n - done;
                        comparison_take(&comparison, came + done, part);
                }
                comparison_end(&comparison, true);
                assert_int_equal(comparison.faults, 2);
                assert_int_equal(comparison.first[0].kind, damages[i].kind);
                assert_in_range(comparison.first[0].size, size - 1, size + 1);
                assert_in_range(comparison.first[0].offset, at, at + 4);
                if (damages[i].kind == FAULT_CHANGED)
                        assert_int_equal(comparison.first[0].bits, 8 * size);
                assert_int_equal(comparison.first[1].kind, FAULT_CHANGED);
                assert_int_equal(comparison.first[1].offset, n - 1);
        }
}

/* The first faults are kept with their places, and all are counted. */
static void test_many(void **state) {
        (void)state;
        restart();
        for (size_t at = 1000; at < 91000; at += 1000)
                edited[at] ^= 4;
        compare(true);
        assert_int_equal(comparison.faults, 90);
        for (size_t i = 0; i < COMPARISON_FIRST_FAULTS; i++)
                assert_int_equal(comparison.first[i].offset, 1000 * (i + 1));
}

/* While nothing of what comes belongs anywhere it is said to be so, and until it does. */
static void test_adrift(void **state) {
        static const uint8_t foreign[COMPARISON_UNKNOWN_SIZE + 1] = { 0 };

        (void)state;
        comparison_init(&comparison, &pattern, TOTAL);
        comparison_take(&comparison, original, 5000);
        comparison_take(&comparison, foreign, 1000);
        assert_false(comparison_is_adrift(&comparison));
        comparison_take(&comparison, foreign, sizeof foreign);
        assert_true(comparison_is_adrift(&comparison));
        assert_int_equal(comparison.received - comparison.lost_size, 5000);
        comparison_take(&comparison, original + 5000, TOTAL - 5000);
        assert_false(comparison_is_adrift(&comparison));
        comparison_end(&comparison, true);
        assert_int_equal(comparison.faults, 1);
        assert_int_equal(comparison.first[0].kind, FAULT_INSERTED);
        assert_int_equal(comparison.first[0].size, 1000 + sizeof foreign);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_intact, prepare),
                cmocka_unit_test_setup(test_pattern, prepare),
                cmocka_unit_test_setup(test_flip, prepare),
                cmocka_unit_test_setup(test_drop, prepare),
                cmocka_unit_test_setup(test_duplicate, prepare),
                cmocka_unit_test_setup(test_nearly_duplicate, prepare),
                cmocka_unit_test_setup(test_insert, prepare),
                cmocka_unit_test_setup(test_insert_first, prepare),
                cmocka_unit_test_setup(test_swap, prepare),
                cmocka_unit_test_setup(test_delay, prepare),
                cmocka_unit_test_setup(test_same_size, prepare),
                cmocka_unit_test_setup(test_truncate, prepare),
                cmocka_unit_test_setup(test_other_stream, prepare),
                cmocka_unit_test_setup(test_several, prepare),
                cmocka_unit_test_setup(test_one_after_the_other, prepare),
                cmocka_unit_test_setup(test_never_intact, prepare),
                cmocka_unit_test_setup(test_large, prepare),
                cmocka_unit_test_setup(test_many, prepare),
                cmocka_unit_test_setup(test_adrift, prepare),
        };

        pattern_init_seed(&pattern, 862);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
