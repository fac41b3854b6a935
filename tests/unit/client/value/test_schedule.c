/* SPDX-License-Identifier: MIT */
/* The requests of a fixed rate, shared among workers. */

#include "unit.h"

#include "client/value/schedule.h"
#include "lib/clock.h"

enum {
        WORKERS_MOST = 5,
        CONNECTIONS_MOST = 12,
        REQUESTS = 1000,
};

static Schedule make(unsigned index, unsigned workers, uint64_t connections, uint64_t rate) {
        return (Schedule){ .start = 862,
                           .rate = rate * SCHEDULE_UNIT,
                           .index = index,
                           .workers = workers,
                           .connections = connections,
                           .own = connections / workers + (index < connections % workers ? 1 : 0) };
}

/* Each instant belongs to one worker, whose part is that of its connections, and none is missing.
 */
static void test_share(void **state) {
        (void)state;
        for (unsigned workers = 1; workers <= WORKERS_MOST; workers++)
                for (uint64_t connections = workers; connections <= CONNECTIONS_MOST;
                     connections++) {
                        unsigned owners[REQUESTS] = { 0 };

                        for (unsigned i = 0; i < workers; i++) {
                                Schedule schedule = make(i, workers, connections, 1000);
                                uint64_t n = 0, due;

                                while ((due = schedule_due(&schedule, n) - 862) < CLOCK_SECOND) {
                                        owners[due / CLOCK_MILLISECOND]++;
                                        n++;
                                }
                                assert_int_equal(schedule_count(&schedule, CLOCK_SECOND), n);
                                assert_in_range(n, REQUESTS / connections * schedule.own,
                                                (REQUESTS / connections + 1) * schedule.own);
                        }
                        for (size_t k = 0; k < REQUESTS; k++)
                                assert_int_equal(owners[k], 1);
                }
}

/* The count is that of the instants before the end, wherever it lies. */
static void test_count(void **state) {
        static const uint64_t rates[] = { 1, 3, 7, 999, 10000000 };

        (void)state;
        for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++)
                for (uint64_t end = 1; end < 200000; end += 61) {
                        Schedule schedule = make(1, 2, 3, rates[r]);
                        uint64_t count = schedule_count(&schedule, end);

                        assert_true(schedule_due(&schedule, count) - 862 >= end);
                        assert_true(count == 0 || schedule_due(&schedule, count - 1) - 862 < end);
                }
}

/* Half a request a second is one every two seconds. */
static void test_fraction(void **state) {
        Schedule schedule = make(0, 1, 1, 1);

        (void)state;
        schedule.rate = SCHEDULE_UNIT / 2;
        for (uint64_t k = 0; k < 10; k++)
                assert_int_equal(schedule_due(&schedule, k), 862 + 2 * k * CLOCK_SECOND);
        assert_int_equal(schedule_count(&schedule, 2 * CLOCK_SECOND), 1);
        assert_int_equal(schedule_count(&schedule, 2 * CLOCK_SECOND + 1), 2);
}

/* A day at the highest rate does not overflow. */
static void test_longest(void **state) {
        const uint64_t day = 86400 * CLOCK_SECOND;
        Schedule schedule = make(0, 1, 1, 10000000);
        uint64_t count = schedule_count(&schedule, day);

        (void)state;
        assert_int_equal(count, UINT64_C(864000000000));
        assert_int_equal(schedule_due(&schedule, count), schedule.start + day);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_share),
                cmocka_unit_test(test_count),
                cmocka_unit_test(test_fraction),
                cmocka_unit_test(test_longest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
