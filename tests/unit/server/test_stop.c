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
        stop_begin(&stop, BEGIN);
        assert_true(stop.begun);
        assert_false(stop_expire(&stop, BEGIN + 4 * CLOCK_SECOND - 1));
        assert_true(stop_expire(&stop, BEGIN + 4 * CLOCK_SECOND));
        assert_false(stop_expire(&stop, BEGIN + 9 * CLOCK_SECOND));
}

/* Storing does not count, and each connection handed over counts once. */
static void test_more(void **state) {
        Stop stop = STOP_NONE;

        (void)state;
        stop_begin(&stop, BEGIN);
        stop_extend(&stop, 7);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7);
        for (int i = 0; i < 2; i++)
                stop_note_handed_over(&stop, 3, false, BEGIN + CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7 + 6 * CLOCK_MILLISECOND);
        stop_note_handed_over(&stop, 4, false, BEGIN + CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 4 * CLOCK_SECOND + 7 + 8 * CLOCK_MILLISECOND);
}

/* However many are handed over, the rest has 4 seconds from then on, or a second when all are
 * stored. */
static void test_most(void **state) {
        Stop stop = STOP_NONE;

        (void)state;
        stop_begin(&stop, BEGIN);
        stop_note_handed_over(&stop, 60000, false, BEGIN + CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 5 * CLOCK_SECOND);
        stop_note_handed_over(&stop, 60001, true, BEGIN + 2 * CLOCK_SECOND);
        assert_true(stop.deadline == BEGIN + 3 * CLOCK_SECOND);
}

/* Returns the news, of which the service manager hears. */
static uint64_t news(Stop *stop, uint64_t now) {
        const uint64_t longer = stop_news(stop, now);

        assert_true(stop_news(stop, now) == longer);
        stop_note_told(stop);
        assert_true(stop_news(stop, now) == 0);
        return longer;
}

/* The service manager waits for a second more than handlers have. It hears of a deadline that has
 * moved by a quarter of a second, and once that the time is over. */
static void test_news(void **state) {
        const uint64_t second = CLOCK_SECOND;
        Stop stop = STOP_NONE;

        (void)state;
        assert_true(stop_news(&stop, BEGIN) == 0);
        stop_begin(&stop, BEGIN);
        stop_extend(&stop, second / 4 - 1);
        assert_true(stop_news(&stop, BEGIN) == 0);
        stop_extend(&stop, 1);
        assert_true(news(&stop, BEGIN + second) == 4 * second + second / 4);
        stop_note_handed_over(&stop, 1, true, BEGIN + second);
        assert_true(stop_news(&stop, BEGIN + second) == 0);
        stop_extend(&stop, 9 * second);
        assert_true(news(&stop, BEGIN + 99 * second) == second);
        assert_true(stop_expire(&stop, BEGIN + 99 * second));
        assert_true(news(&stop, BEGIN + 99 * second) == 5 * second);
        stop_begin(&stop, BEGIN);
        stop_extend(&stop, second);
        assert_true(news(&stop, BEGIN) == 6 * second);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_patience),
                cmocka_unit_test(test_more),
                cmocka_unit_test(test_most),
                cmocka_unit_test(test_news),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
