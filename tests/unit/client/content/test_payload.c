/* SPDX-License-Identifier: MIT */
/* The bytes of datagrams, and the number of the one that an answer belongs to. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "client/content/payload.h"
#include "seed.h"

static Payload payload, other;

/* An answer is found by its tag, whatever its size and number, and equals what was sent. */
static void test_found(void **state) {
        static const size_t sizes[] = { 8, 9, 15, 23, 24, 64, 1472, 1473, 65507, 65527 };
        static const uint64_t numbers[] = { 0, 1, 255, 4096, (UINT64_C(1) << 47) - 2 };

        (void)state;
        for (size_t i = 0; i < COUNT(sizes); i++) {
                payload_init(&payload, sizes[i]);
                for (size_t j = 0; j < COUNT(numbers); j++) {
                        uint64_t found = 0;
                        Fault fault;
                        char *copy = malloc(sizes[i]);

                        assert_non_null(copy);
                        memcpy(copy, payload_make(&payload, numbers[j]), sizes[i]);
                        assert_true(payload_find(&payload, copy, sizes[i], 0, numbers[j] + 1,
                                                 &found));
                        assert_int_equal(found, numbers[j]);
                        assert_true(payload_compare(&payload, found, copy, sizes[i], &fault));
                        /* Numbers that were not sent, or that another flow has, are not found. */
                        assert_false(payload_find(&payload, copy, sizes[i], 0, numbers[j], &found));
                        assert_false(payload_find(&payload, copy, sizes[i], numbers[j] + 1,
                                                  numbers[j] + 9, &found));
                        free(copy);
                }
        }
}

/* Whichever bit changes, the datagram is found, and the fault is that bit. */
static void test_changed(void **state) {
        char copy[24];
        uint64_t found;
        Fault fault;

        (void)state;
        payload_init(&payload, sizeof copy);
        for (size_t bit = 0; bit < 8 * sizeof copy; bit++) {
                memcpy(copy, payload_make(&payload, 862), sizeof copy);
                copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
                assert_true(payload_find(&payload, copy, sizeof copy, 0, 1000, &found));
                assert_int_equal(found, 862);
                assert_false(payload_compare(&payload, found, copy, sizeof copy, &fault));
                assert_int_equal(fault.kind, FAULT_CHANGED);
                assert_int_equal(fault.offset, bit / 8);
                assert_int_equal(fault.size, 1);
                assert_int_equal(fault.bits, 1);
                assert_int_equal(fault.sent ^ fault.received, 1 << bit % 8);
        }
}

/* An answer with fewer or more bytes is a fault behind the equal ones. */
static void test_lengths(void **state) {
        char copy[100];
        Fault fault;

        (void)state;
        payload_init(&payload, 90);
        memset(copy, 0, sizeof copy);
        memcpy(copy, payload_make(&payload, 5), 90);
        assert_false(payload_compare(&payload, 5, copy, 80, &fault));
        assert_int_equal(fault.kind, FAULT_TRUNCATED);
        assert_int_equal(fault.offset, 80);
        assert_int_equal(fault.size, 10);
        assert_false(payload_compare(&payload, 5, copy, 100, &fault));
        assert_int_equal(fault.kind, FAULT_INSERTED);
        assert_int_equal(fault.offset, 90);
        assert_int_equal(fault.size, 10);
}

/* An answer to another run is nobody's, nor is one that is shorter than a tag. */
static void test_other_run(void **state) {
        uint64_t found;

        (void)state;
        for (size_t size = 8; size <= 200; size++) {
                payload_init(&payload, size);
                payload_init(&other, size);
                for (uint64_t number = 0; number < 50; number++)
                        assert_false(payload_find(&payload, payload_make(&other, number), size, 0,
                                                  1 << 20, &found));
                assert_false(payload_find(&payload, payload_make(&payload, 0), 7, 0, 1, &found));
        }
}

/* Bytes of a datagram that are not in their place name none. */
static void test_displaced(void **state) {
        char copy[64];
        uint64_t found;

        (void)state;
        payload_init(&payload, sizeof copy);
        memcpy(copy, payload_make(&payload, 862), sizeof copy);
        assert_false(payload_find(&payload, copy + PATTERN_WORD_SIZE,
                                  sizeof copy - PATTERN_WORD_SIZE, 0, 1000, &found));
}

/* Of a datagram too short for its number, the last fitting one is found; one of no bytes never. */
static void test_short(void **state) {
        uint64_t found;

        (void)state;
        for (size_t size = 1; size < PAYLOAD_TAG_SIZE; size++) {
                payload_init(&payload, size);
                for (uint64_t number = 0; number < 1000; number++) {
                        const uint64_t sent = number + 100;

                        assert_true(payload_find(&payload, payload_make(&payload, number), size, 0,
                                                 sent, &found));
                        assert_int_equal(found, number);
                }
        }
        payload_init(&payload, 1);
        assert_true(payload_find(&payload, payload_make(&payload, 3), 1, 0, 600, &found));
        assert_int_equal(found, 3 + 512);
        assert_false(payload_find(&payload, payload_make(&payload, 200), 1, 0, 100, &found));
        payload_init(&payload, 0);
        assert_false(payload_find(&payload, payload_make(&payload, 3), 0, 0, 600, &found));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found),     cmocka_unit_test(test_changed),
                cmocka_unit_test(test_lengths),   cmocka_unit_test(test_other_run),
                cmocka_unit_test(test_displaced), cmocka_unit_test(test_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
