/* SPDX-License-Identifier: MIT */
/* The plugin's state: what each loss, limit and failure means. */

#include "client/output/monitor.h"

#include <string.h>

#include "lib/clock.h"
#include "unit.h"

enum {
        ROUND_TRIPS = 1000,
};

static Report report;

/* A run of ROUND_TRIPS round trips of a millisecond, of which @lost have no answer. */
static void begin(uint64_t lost) {
        report = (Report){ .attempts = ROUND_TRIPS };
        report.errors[FAILURE_TIMEOUT] = lost;
        for (uint64_t i = lost; i < ROUND_TRIPS; i++)
                histogram_record(&report.latency, CLOCK_MILLISECOND);
}

/* The state with those limits of the loss; an empty text is none. */
static MonitorState state_with(const char *warn, const char *critical) {
        ClientOptions options = { .count = ROUND_TRIPS };

        if (*warn != '\0')
                assert_int_equal(range_parse(warn, strlen(warn), &options.warn.loss), 0);
        if (*critical != '\0')
                assert_int_equal(range_parse(critical, strlen(critical), &options.critical.loss),
                                 0);
        return monitor_state(&report, &options);
}

/* One of a thousand is a loss, too, unless a limit says which one matters. */
static void test_loss(void **state) {
        (void)state;
        begin(0);
        assert_int_equal(state_with("", ""), MONITOR_OK);
        begin(1);
        assert_int_equal(state_with("", ""), MONITOR_WARNING);
        assert_int_equal(state_with("1", ""), MONITOR_OK);
        assert_int_equal(state_with("", "1"), MONITOR_OK);
        assert_int_equal(state_with("0", "1"), MONITOR_WARNING);
        assert_int_equal(state_with("0", "0"), MONITOR_CRITICAL);
        begin(ROUND_TRIPS);
        assert_int_equal(state_with("", ""), MONITOR_CRITICAL);
        assert_int_equal(state_with("100", "100"), MONITOR_CRITICAL);
}

/* One wrong or unrecognized answer, and one round trip that the limit of the run ends or does not
 * begin, are critical, whatever the limits of the loss. */
static void test_faults(void **state) {
        (void)state;
        begin(1);
        report.errors[FAILURE_DIFFERS] = 1;
        assert_int_equal(state_with("100", "100"), MONITOR_CRITICAL);
        begin(0);
        report.counts.unrecognized = 1;
        assert_int_equal(state_with("100", "100"), MONITOR_CRITICAL);
        begin(1);
        report.errors[FAILURE_INTERRUPTED] = 1;
        assert_int_equal(state_with("100", "100"), MONITOR_CRITICAL);
        begin(0);
        report.attempts = report.latency.count = ROUND_TRIPS - 1;
        assert_int_equal(state_with("100", "100"), MONITOR_CRITICAL);
}

/* Errors on this side say nothing of the service; without any attempt it is down. */
static void test_failures(void **state) {
        static const FailureKind unknown[] = { FAILURE_RESOLVE, FAILURE_LOCAL,
                                               FAILURE_INTERRUPTED };

        (void)state;
        for (size_t i = 0; i < COUNT(unknown); i++) {
                begin(1);
                report.failure.kind = unknown[i];
                assert_int_equal(state_with("", ""), MONITOR_UNKNOWN);
        }
        begin(1);
        report.failure.kind = FAILURE_TIMEOUT;
        assert_int_equal(state_with("", ""), MONITOR_WARNING);
        report = (Report){};
        assert_int_equal(state_with("", ""), MONITOR_CRITICAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loss),
                cmocka_unit_test(test_faults),
                cmocka_unit_test(test_failures),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
