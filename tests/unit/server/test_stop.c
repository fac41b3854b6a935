/* SPDX-License-Identifier: MIT */
/* The time that handlers have to finish, at instants that the test chooses. */

#include "server/stop.h"

#include "unit.h"

#define BEGIN (100 * CLOCK_SECOND)

/* Without a stop, and before the end of 4 seconds, nobody is killed; then all are, once. */
static void test_patience(void **state) {
        Stop stop = STOP_NONE;

        (void)state;
        stop_extend(&stop, CLOCK_SECOND);
        stop_note_handed_over(&stop, 1, true, BEGIN);
        assert_false(stop.begun);
        assert_false(stop_expire(&stop, CLOCK_NEVER - 1));
        stop_begin(&stop, BEGIN, STOP_PATIENCE);
        assert_true(stop.begun);
        assert_false(stop_expire(&stop, BEGIN + 4 * CLOCK_SECOND - 1));
        assert_true(stop_expire(&stop, BEGIN + 4 * CLOCK_SECOND));
        assert_false(stop_expire(&stop, BEGIN + 9 * CLOCK_SECOND));
}

/* Storing does not count, and each connection handed over counts once. */
static void test_more(void **state) {
        Stop stop = STOP_NONE;

        (void)state;
        stop_begin(&stop, BEGIN, STOP_PATIENCE);
        stop_extend(&stop, 7);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7);
        for (int i = 0; i < 2; i++)
                stop_note_handed_over(&stop, 3, false, BEGIN + CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7 + 6 * CLOCK_MILLISECOND);
        stop_note_handed_over(&stop, 4, false, BEGIN + CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7 + 8 * CLOCK_MILLISECOND);
}

/* However many are handed over, the rest has as much from then on as all have in the beginning, or
 * a second when all are stored. */
static void test_most(void **state) {
        (void)state;
        for (int i = 0; i < 2; i++) {
                const uint64_t patience = i == 0 ? STOP_PATIENCE : 9 * CLOCK_SECOND;
                Stop stop = STOP_NONE;

                stop_begin(&stop, BEGIN, patience);
                assert_true(stop.deadline == BEGIN + patience);
                stop_note_handed_over(&stop, 60000, false, BEGIN + CLOCK_SECOND);
                assert_true(stop.deadline == BEGIN + CLOCK_SECOND + patience);
                stop_note_handed_over(&stop, 60001, true, BEGIN + 2 * CLOCK_SECOND);
                assert_true(stop.deadline == BEGIN + 3 * CLOCK_SECOND);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_patience),
                cmocka_unit_test(test_more),
                cmocka_unit_test(test_most),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
