/* SPDX-License-Identifier: MIT */
/* Instants. */

#include "lib/clock.h"

#include <time.h>

#include "unit.h"

/* The clock is CLOCK_MONOTONIC in microseconds, and never goes back. */
static void test_now(void **state) {
        struct timespec before, after;
        uint64_t now, last = 0;

        (void)state;
        (void)clock_gettime(CLOCK_MONOTONIC, &before);
        now = clock_now();
        (void)clock_gettime(CLOCK_MONOTONIC, &after);
        assert_true(now >= (uint64_t)before.tv_sec * 1000000 + (uint64_t)before.tv_nsec / 1000);
        assert_true(now <= (uint64_t)after.tv_sec * 1000000 + (uint64_t)after.tv_nsec / 1000);
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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_now),
                cmocka_unit_test(test_earlier),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
