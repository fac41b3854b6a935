/* SPDX-License-Identifier: MIT */
/* Instants. */

#include "lib/clock.h"

#include <time.h>

#include "unit.h"

/* The clock is CLOCK_MONOTONIC in nanoseconds, and never goes back. */
static void test_now(void **state) {
        struct timespec before, after;
        uint64_t now, last = 0;

        (void)state;
        (void)clock_gettime(CLOCK_MONOTONIC, &before);
        now = clock_now();
        (void)clock_gettime(CLOCK_MONOTONIC, &after);
        assert_true(now >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
        assert_true(now <= (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec);
        for (int i = 0; i < 10000; i++) {
                now = clock_now();
                assert_true(now >= last);
                last = now;
        }
}

/* Never is later than any instant. */
static void test_earlier(void **state) {
        (void)state;
        assert_true(clock_earlier(1, 2) == 1);
        assert_true(clock_earlier(2, 1) == 1);
        assert_true(clock_earlier(CLOCK_NEVER, 5) == 5);
        assert_true(clock_earlier(5, CLOCK_NEVER) == 5);
        assert_true(clock_earlier(CLOCK_NEVER, CLOCK_NEVER) == CLOCK_NEVER);
}

/* poll(2) waits at least until the instant, at most a millisecond longer, and never negatively. */
static void test_timeout(void **state) {
        (void)state;
        assert_int_equal(clock_timeout(5, 5), 0);
        assert_int_equal(clock_timeout(5, 4), 0);
        assert_int_equal(clock_timeout(5, 6), 1);
        assert_int_equal(clock_timeout(5, 5 + CLOCK_MILLISECOND), 1);
        assert_int_equal(clock_timeout(5, 6 + CLOCK_MILLISECOND), 2);
        assert_int_equal(clock_timeout(0, CLOCK_NEVER - 1), INT32_MAX);
        assert_int_equal(clock_timeout(0, CLOCK_NEVER), -1);
}

/* Pauses double from 10 ms to a second, and stay there. */
static void test_pause(void **state) {
        static const uint64_t milliseconds[] = { 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000 };
        uint64_t pause = 0;

        (void)state;
        for (size_t i = 0; i < COUNT(milliseconds); i++) {
                pause = clock_pause(pause);
                assert_int_equal(pause, milliseconds[i] * CLOCK_MILLISECOND);
        }
}

/* A sleep ends at its instant or later, and at once where that is past. */
static void test_sleep(void **state) {
        uint64_t then = clock_now() + 3 * CLOCK_MILLISECOND;

        (void)state;
        clock_sleep(then);
        assert_true(clock_now() >= then);
        clock_sleep(0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_now),     cmocka_unit_test(test_sleep),
                cmocka_unit_test(test_earlier), cmocka_unit_test(test_timeout),
                cmocka_unit_test(test_pause),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
