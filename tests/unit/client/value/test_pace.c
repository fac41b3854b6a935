/* SPDX-License-Identifier: MIT */
/* The speed at which bytes may be sent. */

#include "unit.h"

#include "client/value/pace.h"
#include "lib/clock.h"

/* The instant of a byte and the bytes of an instant belong together. */
static void test_both_ways(void **state) {
        static const uint64_t rates[] = { 1, 7, 1000, 1 << 20, UINT64_C(1) << 40 };

        (void)state;
        for (size_t i = 0; i < COUNT(rates); i++) {
                const Pace pace = { .start = 862, .rate = rates[i] };

                for (uint64_t bytes = 1; bytes < 3000; bytes += 97) {
                        uint64_t due = pace_due(&pace, bytes);

                        assert_in_range(pace_allowance(&pace, due + 1), bytes,
                                        bytes + rates[i] / CLOCK_SECOND + 1);
                        assert_true(pace_allowance(&pace, due - 1) <= bytes);
                }
                assert_int_equal(pace_allowance(&pace, 862 + CLOCK_SECOND), rates[i]);
        }
}

/* Nothing is due before the start, and the largest numbers do not overflow. */
static void test_edges(void **state) {
        const Pace fast = { .start = 862, .rate = UINT64_C(1) << 50 }, slow = { 862, 1000 };

        (void)state;
        assert_int_equal(pace_allowance(&fast, 1), 0);
        assert_int_equal(pace_due(&fast, 0), 862);
        assert_int_equal(pace_due(&fast, UINT64_C(1) << 60), 862 + 1024 * CLOCK_SECOND);
        assert_int_equal(pace_allowance(&slow, 862 + 86400 * CLOCK_SECOND), 86400 * 1000);
}

/* Without a limit everything may be sent at once. */
static void test_no_limit(void **state) {
        const Pace pace = { .start = 862 };

        (void)state;
        assert_int_equal(pace_due(&pace, UINT64_MAX), 862);
        assert_true(pace_allowance(&pace, 863) == UINT64_MAX);
        assert_int_equal(pace_piece(&pace, 4096), 4096);
}

/* A piece is at least a byte, at most what there is, and a small part of a second's bytes. */
static void test_pieces(void **state) {
        (void)state;
        assert_int_equal(pace_piece(&(Pace){ .rate = 1 }, 4096), 1);
        assert_int_equal(pace_piece(&(Pace){ .rate = 1 << 30 }, 4096), 4096);
        assert_in_range(pace_piece(&(Pace){ .rate = 1 << 20 }, 1 << 20), (1 << 20) / 400,
                        (1 << 20) / 100);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_ways),
                cmocka_unit_test(test_edges),
                cmocka_unit_test(test_no_limit),
                cmocka_unit_test(test_pieces),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
