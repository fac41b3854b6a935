/* SPDX-License-Identifier: MIT */
/* What monitoring systems read: exact texts, in both formats. */

#include "report/metrics.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "unit.h"

static const Metrics example = {
        .counts = { .accepted = 4711,
                    .resumed = 12,
                    .closed = { 4000, 300, 200, 100, 70, 30 },
                    .crashed = 1,
                    .refused = { 5, 6, 7, 8, 9, 10 },
                    .bytes = 123456789012,
                    .durations = { 1, 20, 300, 4000, 100, 100, 100, 50, 20, 10 },
                    .duration = 86400000001,
                    .datagrams = { 11, 12, 13, 14, 15, 16, 17, 18 },
                    .datagram_bytes = 704,
                    .lost = 9 },
        .live = 10,
        .limit = 1024,
        .started = 1764168725,
};

static const char heads_text[] =
                "# HELP mpecho_connections_accepted_total Connections that the service accepted.\n"
                "# TYPE mpecho_connections_accepted_total counter\n"
                "mpecho_connections_accepted_total 4711\n";

static const char heads_open[] =
                "# HELP mpecho_connections_accepted Connections that the service accepted.\n"
                "# TYPE mpecho_connections_accepted counter\n"
                "mpecho_connections_accepted_total 4711\n";

/* The values of the example, which are the same in both formats. */
static const char values[] = "mpecho_build_info{version=\"" MPECHO_VERSION "\"} 1\n"
                             "mpecho_start_time_seconds 1764168725\n"
                             "mpecho_connections 10\n"
                             "mpecho_connections_limit 1024\n"
                             "mpecho_connections_accepted_total 4711\n"
                             "mpecho_connections_resumed_total 12\n"
                             "mpecho_connections_closed_total{reason=\"closed by peer\"} 4000\n"
                             "mpecho_connections_closed_total{reason=\"reset by peer\"} 300\n"
                             "mpecho_connections_closed_total{reason=\"idle\"} 200\n"
                             "mpecho_connections_closed_total{reason=\"stalled\"} 100\n"
                             "mpecho_connections_closed_total{reason=\"stopped\"} 70\n"
                             "mpecho_connections_closed_total{reason=\"failed\"} 30\n"
                             "mpecho_connections_crashed_total 1\n"
                             "mpecho_connections_refused_total{limit=\"max-per-source\"} 5\n"
                             "mpecho_connections_refused_total{limit=\"descriptors\"} 6\n"
                             "mpecho_connections_refused_total{limit=\"processes\"} 7\n"
                             "mpecho_connections_refused_total{limit=\"memory\"} 8\n"
                             "mpecho_connections_refused_total{limit=\"proxy-from\"} 9\n"
                             "mpecho_connections_refused_total{limit=\"proxy-header\"} 10\n"
                             "mpecho_connections_echoed_bytes_total 123456789012\n"
                             "mpecho_datagrams_total{result=\"answered\"} 11\n"
                             "mpecho_datagrams_total{result=\"source\"} 12\n"
                             "mpecho_datagrams_total{result=\"destination\"} 13\n"
                             "mpecho_datagrams_total{result=\"port\"} 14\n"
                             "mpecho_datagrams_total{result=\"self\"} 15\n"
                             "mpecho_datagrams_total{result=\"rate\"} 16\n"
                             "mpecho_datagrams_total{result=\"overall\"} 17\n"
                             "mpecho_datagrams_total{result=\"dropped\"} 18\n"
                             "mpecho_datagrams_echoed_bytes_total 704\n"
                             "mpecho_records_lost_total 9\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"0.001\"} 1\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"0.01\"} 21\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"0.1\"} 321\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"1.0\"} 4321\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"10.0\"} 4421\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"60.0\"} 4521\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"600.0\"} 4621\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"3600.0\"} 4671\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"86400.0\"} 4691\n"
                             "mpecho_connection_duration_seconds_bucket{le=\"+Inf\"} 4701\n"
                             "mpecho_connection_duration_seconds_sum 86400.000001\n"
                             "mpecho_connection_duration_seconds_count 4701\n";

/* Takes the lines that begin with '#' out of @text. */
static void remove_comments(char *text) {
        char *to = text;

        for (char *line = text, *end; *line != '\0'; line = end) {
                end = strchr(line, '\n');
                assert_non_null(end);
                end++;
                if (line[0] != '#') {
                        memmove(to, line, (size_t)(end - line));
                        to += end - line;
                }
        }
        *to = '\0';
}

/* Both formats have the same values, in the same order; they name and end counters as each one
 * wants it. */
static void test_formats(void **state) {
        static char text[METRICS_SIZE], open[METRICS_SIZE];
        size_t size;

        (void)state;
        size = metrics_format(&example, METRICS_TEXT, text);
        assert_int_equal(size, strlen(text));
        size = metrics_format(&example, METRICS_OPEN, open);
        assert_int_equal(size, strlen(open));
        assert_non_null(strstr(text, heads_text));
        assert_non_null(strstr(open, heads_open));
        assert_non_null(strstr(text, "# TYPE mpecho_build_info gauge\n"));
        assert_non_null(strstr(open, "# TYPE mpecho_build info\n"));
        assert_null(strstr(text, "# EOF"));
        assert_string_equal(strstr(open, "# EOF"), "# EOF\n");
        remove_comments(text);
        assert_string_equal(text, values);
        remove_comments(open);
        assert_string_equal(open, values);
}

/* No value is cut, however large: all have room at once. */
static void test_largest(void **state) {
        static char text[METRICS_SIZE];
        Metrics metrics;

        (void)state;
        memset(&metrics, 0xff, sizeof metrics);
        for (int format = 0; format < METRICS_FORMATS; format++)
                assert_in_range(metrics_format(&metrics, (MetricsFormat)format, text), 1,
                                METRICS_SIZE - 2);
        assert_non_null(strstr(text, "{limit=\"memory\"} 18446744073709551615\n"));
        assert_non_null(strstr(text, "_sum 18446744073709.551615\n"));
}

/* A duration counts in the first bucket whose limit it does not exceed, and in the sum to the
 * microsecond. */
static void test_durations(void **state) {
        static const struct {
                uint64_t duration;
                int bucket;
        } cases[] = {
                { 0, 0 },
                { CLOCK_MILLISECOND, 0 },
                { CLOCK_MILLISECOND + 1, 1 },
                { 10 * CLOCK_MILLISECOND, 1 },
                { 10 * CLOCK_MILLISECOND + 1, 2 },
                { 100 * CLOCK_MILLISECOND, 2 },
                { 100 * CLOCK_MILLISECOND + 1, 3 },
                { CLOCK_SECOND, 3 },
                { CLOCK_SECOND + 1, 4 },
                { 10 * CLOCK_SECOND, 4 },
                { 10 * CLOCK_SECOND + 1, 5 },
                { 60 * CLOCK_SECOND, 5 },
                { 60 * CLOCK_SECOND + 1, 6 },
                { 600 * CLOCK_SECOND, 6 },
                { 600 * CLOCK_SECOND + 1, 7 },
                { 3600 * CLOCK_SECOND, 7 },
                { 3600 * CLOCK_SECOND + 1, 8 },
                { 86400 * CLOCK_SECOND, 8 },
                { 86400 * CLOCK_SECOND + 1, 9 },
                { CLOCK_NEVER, 9 },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                MetricsCounts counts = {};

                metrics_count_end(&counts, false, END_IDLE, cases[i].duration);
                for (int bucket = 0; bucket < METRICS_DURATIONS; bucket++)
                        assert_int_equal(counts.durations[bucket], bucket == cases[i].bucket);
                assert_true(counts.duration == cases[i].duration / CLOCK_MICROSECOND);
                assert_int_equal(counts.closed[END_IDLE], 1);
                assert_int_equal(counts.crashed, 0);
        }
}

/* All limits together have refused as many. */
static void test_refused(void **state) {
        (void)state;
        assert_int_equal(metrics_refused(&example.counts), 5 + 6 + 7 + 8 + 9 + 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_largest),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
