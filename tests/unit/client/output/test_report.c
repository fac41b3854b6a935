/* SPDX-License-Identifier: MIT */
/* The sentence about the datagrams of a check, the reason of a ping that failed, and its chart. */

#include "client/output/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/output/report_flows.h"
#include "lib/clock.h"
#include "unit.h"

/* Returns what report_print() prints; the caller frees it. */
static char *print(const Report *report, const ClientOptions *options) {
        FILE *const before = stdout;
        size_t size;
        char *text;

        stdout = open_memstream(&text, &size);
        assert_non_null(stdout);
        assert_int_equal(report_print(report, options), 0);
        (void)fclose(stdout);
        stdout = before;
        return text;
}

/* It has each count under its own name, and no count of zero but the losses. */
static void test_datagrams(void **state) {
        static const struct {
                VolleyCounts counts;
                const char *text;
        } cases[] = {
                { { .sent = 1, .answered = 1 }, "/echo: 1 sent, 1 answered, 0 lost in 2.000 s\n" },
                { { .sent = 20,
                    .answered = 4,
                    .late = 3,
                    .changed = 2,
                    .rejected = 1,
                    .open = 5,
                    .duplicated = 6,
                    .reordered = 7,
                    .unrecognized = 8,
                    .jitter = 1000 },
                  "/echo: 20 sent, 4 answered, 5 lost (33.3 %), 3 late, 2 changed, 1 rejected, "
                  "5 open, 6 duplicated, 7 reordered, 8 unrecognized in 2.000 s\n"
                  "jitter = 1.00 us\n" },
        };
        const ClientOptions options = { .action = CLIENT_CHECK,
                                        .connection.datagram = true,
                                        .target.host = "/echo" };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Report report = { .attempts = 1,
                                        .counts = cases[i].counts,
                                        .elapsed = 2 * CLOCK_SECOND };
                char *text = print(&report, &options);

                /* The sentence about the contents follows. */
                text[strnlen(text, strlen(cases[i].text))] = '\0';
                assert_string_equal(text, cases[i].text);
                free(text);
        }
}

/* A ping prints the reason of its failure once, on a line of its own; that of flows is the verdict,
 * which comes last. A ping that succeeds has none. */
static void test_reason(void **state) {
        static const struct {
                Failure failure;
                const char *foreign;
                const char *text;
        } cases[] = {
                { { FAILURE_NONE, "" }, "", "/echo: 1 sent, 1 answered, 0 lost in 2.000 s\n" },
                { { FAILURE_TIMEOUT, "the run ended" },
                  "",
                  "/echo: 1 sent, 1 answered, 0 lost in 2.000 s\n"
                  "timeout: the run ended\n" },
                { { FAILURE_DIFFERS, "no echo" },
                  "no echo",
                  "/echo: 1 sent, 1 answered, 0 lost in 2.000 s\n"
                  "differs: no echo\n" },
        };
        const ClientOptions options = { .action = CLIENT_PING,
                                        .quiet = true,
                                        .target.host = "/echo" };
        FlowResult flows[4] = {};
        Report lossy = { .attempts = 1,
                         .failure.kind = FAILURE_LOSS,
                         .foreign = "no echo",
                         .flows = flows,
                         .flows_count = COUNT(flows),
                         .judgement = { .named = 1, .worse = { 9, 9 }, .others = { 9, 0 } } };
        char *text, *verdict = lossy.failure.text, *found;

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Report report = { .attempts = 1,
                                  .latency.count = 1,
                                  .elapsed = 2 * CLOCK_SECOND,
                                  .failure = cases[i].failure };

                (void)snprintf(report.foreign, sizeof report.foreign, "%s", cases[i].foreign);
                text = print(&report, &options);
                found = strstr(text, "min/avg/max/stddev");
                assert_non_null(found);
                *found = '\0';
                assert_string_equal(text, cases[i].text);
                free(text);
        }

        report_flows_verdict(&lossy, verdict);
        text = print(&lossy, &options);
        assert_non_null(strstr(text, "\nno echo\n"));
        found = strstr(text, verdict);
        assert_non_null(found);
        assert_string_equal(found + strlen(verdict), "\n");
        free(text);
}

/* Fewer than ten times are drawn by no chart. */
static void test_chart(void **state) {
        const ClientOptions options = { .action = CLIENT_PING, .target.host = "/echo" };
        Report report = { .attempts = 10, .elapsed = CLOCK_SECOND };

        (void)state;
        for (int n = 1; n <= 10; n++) {
                char *text;

                histogram_record(&report.latency, CLOCK_MILLISECOND);
                text = print(&report, &options);
                assert_int_equal(strchr(text, '#') != NULL, n == 10);
                free(text);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_chart),
                cmocka_unit_test(test_datagrams),
                cmocka_unit_test(test_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
