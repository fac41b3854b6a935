/* SPDX-License-Identifier: MIT */
/* The sentence about the flows of a ping, and their rows. */

#include "client/output/report_flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "unit.h"

/* The sentence has the numbers of the judgement, and claims no more than it. */
static void test_verdict(void **state) {
        static const struct {
                size_t flows;
                Judgement judgement;
                const char *text;
        } cases[] = {
                { 4,
                  { .named = 1, .worse = { 50, 10 }, .others = { 150, 0 }, .probability = 0.0012 },
                  "1 of 4 flows loses 20 %, the others none: about one path in 4 "
                  "(p <= 0.0012, Fisher's exact test, Bonferroni's correction)" },
                { 7,
                  { .named = 3, .worse = { 200, 19 }, .others = { 400, 3 }, .probability = 1e-12 },
                  "3 of 7 flows lose 9.5 %, the others 0.75 %: about one path in 2 "
                  "(p <= 1e-09, Fisher's exact test, Bonferroni's correction)" },
                { 4,
                  { .named = 3, .worse = { 100, 10 }, .others = { 100, 1 }, .probability = 0.01 },
                  "3 of 4 flows lose 10 %, the others 1 %: most paths "
                  "(p <= 0.01, Fisher's exact test, Bonferroni's correction)" },
                { 2,
                  { .others = { 100, 0 }, .needed = 0, .enough = true },
                  "No flow loses more than the others, which lose none: a path that loses 20 % "
                  "does "
                  "not show among them" },
                { 4,
                  { .others = { 100, 5 }, .needed = 70, .enough = true },
                  "No flow loses more than the others, which lose 5 %: a path that loses 20 % "
                  "would "
                  "show" },
                { 4,
                  { .others = { 100, 50 }, .needed = 70 },
                  "No flow loses more than the others, which lose 50 %, but these are too few "
                  "packets: a path that loses 20 % shows from 70 of each flow on" },
        };
        char text[FLOWS_VERDICT_SIZE];

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Report report = { .flows_count = cases[i].flows,
                                        .judgement = cases[i].judgement };

                report_flows_verdict(&report, text);
                assert_string_equal(text, cases[i].text);
        }
}

/* A row has what its flow counted. A time that too few answers give is "-", and a named flow has
 * its loss behind it. */
static void test_rows(void **state) {
        FlowResult flows[] = {
                { .port = 61000,
                  .sent = 3,
                  .lost = 1,
                  .late = 1,
                  .kernel = { .known = true, .segments = 5, .retransmits = 2, .rtt = 40000 },
                  .named = true,
                  .packets = { 5, 3 } },
                { .port = 61001, .sent = 2, .lost = 2, .kernel = { .known = true, .rtt = 70000 } },
        };
        const Report report = { .flows = flows, .flows_count = COUNT(flows) };
        const ClientOptions tcp = {}, udp = { .connection.datagram = true };
        FILE *const before = stdout;
        size_t size;
        char *text;

        (void)state;
        histogram_record(&flows[0].latency, CLOCK_MILLISECOND);
        histogram_record(&flows[0].latency, CLOCK_MILLISECOND);
        stdout = open_memstream(&text, &size);
        assert_non_null(stdout);
        report_flows_print(&report, &tcp);
        report_flows_print(&report, &udp);
        (void)fclose(stdout);
        stdout = before;
        assert_string_equal(
                        text,
                        " port   sent   lost      p50      p99   late segments retransmits      "
                        "rtt\n"
                        "61000      3      1  1.00 ms        -      1        5           2  40.0 us"
                        "  loses 60 %\n"
                        "61001      2      2        -        -      0        0           0        "
                        "-\n"
                        " port   sent   lost      p50      p99   late\n"
                        "61000      3      1  1.00 ms        -      1  loses 60 %\n"
                        "61001      2      2        -        -      0\n");
        free(text);
}

/* The object of a flow has what the flow counted, with times in microseconds, and no number where
 * its row has none. */
static void test_json(void **state) {
        FlowResult flows[] = {
                { .port = 61000,
                  .sent = 3,
                  .lost = 1,
                  .late = 1,
                  .kernel = { .known = true, .segments = 5, .retransmits = 2, .rtt = 40000 },
                  .named = true },
                { .port = 61001, .sent = 2, .lost = 2 },
        };
        const Report report = { .flows = flows, .flows_count = COUNT(flows) };
        Json json = {};
        size_t size;
        char *text;

        (void)state;
        histogram_record(&flows[0].latency, 1500 * CLOCK_MICROSECOND);
        histogram_record(&flows[0].latency, 1500 * CLOCK_MICROSECOND);
        json.file = open_memstream(&text, &size);
        assert_non_null(json.file);
        report_flows_json(&json, &report);
        (void)fclose(json.file);
        assert_non_null(strstr(text,
                               "\"list\": [{\"port\": 61000, \"named\": true, \"sent\": 3, "
                               "\"answered\": 2, "
                               "\"lost\": 1, \"p50\": 1500.000, \"p99\": null, \"late\": 1, "
                               "\"segments\": 5, \"retransmits\": 2, \"rtt\": 40.000}, "
                               "{\"port\": 61001, \"named\": false, \"sent\": 2, \"answered\": 0, "
                               "\"lost\": 2, \"p50\": null, \"p99\": null, \"late\": 0, "
                               "\"segments\": null, \"retransmits\": null, \"rtt\": null}]}"));
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdict),
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
