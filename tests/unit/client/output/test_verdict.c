/* SPDX-License-Identifier: MIT */
/* The reason that a run of round trips gives for its failure. */

#include "client/output/verdict.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

/* Damage is the reason, else the most frequent error, and the end of the run only without errors.
 * Open round trips fail a run only if they are part of a count. */
static void test_round_trips(void **state) {
        static const struct {
                Report report;
                uint64_t wanted;
                bool interrupted;
                FailureKind kind;
                const char *text;
        } cases[] = {
                { { .attempts = 3, .latency.count = 3 }, 3, false, FAILURE_NONE, "" },
                { { .attempts = 3, .latency.count = 2, .errors[FAILURE_INTERRUPTED] = 1 },
                  0,
                  true,
                  FAILURE_NONE,
                  "" },
                { { .attempts = 9,
                    .latency.count = 4,
                    .errors = { [FAILURE_TIMEOUT] = 4, [FAILURE_DIFFERS] = 1 } },
                  9,
                  false,
                  FAILURE_DIFFERS,
                  "5 of 9 round trips failed" },
                { { .attempts = 4, .errors[FAILURE_DIFFERS] = 4 },
                  0,
                  true,
                  FAILURE_DIFFERS,
                  "4 of 4 round trips failed" },
                { { .attempts = 1, .errors[FAILURE_DIFFERS] = 1, .foreign = "no echo" },
                  1,
                  false,
                  FAILURE_DIFFERS,
                  "no echo" },
                { { .attempts = 4,
                    .latency.count = 1,
                    .errors = { [FAILURE_RESET] = 2, [FAILURE_CLOSED] = 1 } },
                  4,
                  false,
                  FAILURE_RESET,
                  "3 of 4 round trips failed" },
                { { .attempts = 3,
                    .latency.count = 1,
                    .errors = { [FAILURE_RESET] = 1, [FAILURE_INTERRUPTED] = 1 } },
                  9,
                  true,
                  FAILURE_RESET,
                  "1 of 3 round trips failed" },
                { { .attempts = 2, .latency.count = 1, .errors[FAILURE_INTERRUPTED] = 1 },
                  9,
                  true,
                  FAILURE_INTERRUPTED,
                  "the run ended with 1 of 9 round trips answered" },
                { { .attempts = 1, .errors[FAILURE_INTERRUPTED] = 1 },
                  0,
                  false,
                  FAILURE_TIMEOUT,
                  "the run ended with 0 of 1 round trip answered" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Report report = cases[i].report;

                verdict_set_round_trips(&report, cases[i].wanted, cases[i].interrupted);
                assert_int_equal(report.failure.kind, cases[i].kind);
                assert_string_equal(report.failure.text, cases[i].text);
        }
}

/* Flows that lose more are the reason before unrecognized answers, these before errors. A failure
 * of this machine remains the reason. */
static void test_flows(void **state) {
        Report named = { .flows_count = 4,
                         .judgement = { .named = 1, .worse = { 9, 9 }, .others = { 9, 0 } },
                         .counts.unrecognized = 1 };
        Report unrecognized = { .attempts = 4,
                                .counts.unrecognized = 1,
                                .errors[FAILURE_TIMEOUT] = 4 };
        Report local = { .attempts = 4,
                         .errors[FAILURE_LOCAL] = 4,
                         .failure = { FAILURE_LOCAL, "Cannot connect" } };

        (void)state;
        verdict_set_flows(&named, 0, false);
        assert_int_equal(named.failure.kind, FAILURE_LOSS);

        verdict_set_flows(&unrecognized, 0, false);
        assert_string_equal(unrecognized.failure.text, "1 unrecognized answer");

        verdict_set_flows(&local, 4, false);
        assert_int_equal(local.failure.kind, FAILURE_LOCAL);
        assert_string_equal(local.failure.text, "Cannot connect");
}

/* Changed datagrams are the reason before rejected ones, these before fewer lost ones, and late
 * ones only where the time counts. */
static void test_datagrams(void **state) {
        static const struct {
                VolleyCounts counts;
                uint64_t wanted;
                bool timed;
                FailureKind kind;
                const char *text;
        } cases[] = {
                { { .sent = 2, .answered = 2 }, 2, true, FAILURE_NONE, "" },
                { { .sent = 2, .answered = 1, .open = 1 }, 0, true, FAILURE_NONE, "" },
                { { .sent = 2, .answered = 1, .late = 1 }, 2, false, FAILURE_NONE, "" },
                { { .sent = 2, .answered = 1, .late = 1 },
                  2,
                  true,
                  FAILURE_TIMEOUT,
                  "1 of 2 answers came late" },
                { { .sent = 2, .answered = 1, .open = 1 },
                  2,
                  true,
                  FAILURE_TIMEOUT,
                  "the run ended with 1 of 2 datagrams answered" },
                { { .sent = 2, .answered = 2 },
                  5,
                  true,
                  FAILURE_TIMEOUT,
                  "the run ended with 2 of 5 datagrams answered" },
                { { .sent = 4, .answered = 1 }, 4, true, FAILURE_MISSING, "lost 3 of 4 datagrams" },
                { { .sent = 1 }, 1, true, FAILURE_TIMEOUT, "lost 1 of 1 datagram" },
                { { .sent = 3, .rejected = 2 },
                  3,
                  true,
                  FAILURE_REFUSED,
                  "rejected 2 of 3 datagrams: refused" },
                { { .sent = 2, .rejected = 1 }, 2, true, FAILURE_TIMEOUT, "lost 1 of 2 datagrams" },
                { { .sent = 3, .rejected = 1, .changed = 1, .answered = 1 },
                  3,
                  true,
                  FAILURE_DIFFERS,
                  "changed 1 of 3 datagrams, first datagram 3: " },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Report report = {
                        .counts = cases[i].counts,
                        .faulty = 3,
                        .rejections = { .list = { { .error = ECONNREFUSED, .text = "refused" } },
                                        .counts = { cases[i].counts.rejected } }
                };

                verdict_set_datagrams(&report, cases[i].wanted, false, cases[i].timed);
                assert_int_equal(report.failure.kind, cases[i].kind);
                assert_memory_equal(report.failure.text, cases[i].text, strlen(cases[i].text));
        }
}

/* Of several reasons to reject datagrams the verdict has the most frequent, and says so. */
static void test_rejected(void **state) {
        Report report = { .counts = { .sent = 10, .rejected = 10 },
                          .rejections = { .list = { { .error = EACCES, .text = "prohibited" },
                                                    { .error = ECONNREFUSED, .text = "refused" } },
                                          .counts = { 1, 9 } } };

        (void)state;
        verdict_set_datagrams(&report, 10, false, true);
        assert_int_equal(report.failure.kind, FAILURE_REFUSED);
        assert_string_equal(report.failure.text,
                            "rejected 10 of 10 datagrams, most often: refused");
}

/* A service that has answered correctly once, whenever, is an echo service. */
static void test_echo_service(void **state) {
        static const Report wrong = { .attempts = 2,
                                      .counts = { .sent = 2, .unrecognized = 1 },
                                      .errors[FAILURE_DIFFERS] = 1,
                                      .foreign = "no echo" };
        Report trips = wrong, flows = wrong, named = wrong, answered = wrong, late = wrong;

        (void)state;
        trips.latency.count = 1;
        verdict_set_round_trips(&trips, 2, false);
        assert_string_equal(trips.failure.text, "1 of 2 round trips failed");

        flows.latency.count = 1;
        verdict_set_flows(&flows, 2, false);
        assert_string_equal(flows.failure.text, "1 unrecognized answer");

        named.latency.count = 1;
        named.judgement = (Judgement){ .named = 1, .worse = { 9, 9 }, .others = { 9, 0 } };
        verdict_set_flows(&named, 2, false);
        assert_string_equal(named.foreign, "");

        answered.counts.answered = 1;
        verdict_set_datagrams(&answered, 2, false, true);
        assert_string_equal(answered.failure.text, "1 unrecognized answer");

        late.counts.late = late.counts.changed = 1;
        verdict_set_datagrams(&late, 2, false, true);
        assert_memory_equal(late.failure.text, "changed 1 of 2", strlen("changed 1 of 2"));
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trips),
                                            cmocka_unit_test(test_echo_service),
                                            cmocka_unit_test(test_rejected),
                                            cmocka_unit_test(test_flows),
                                            cmocka_unit_test(test_datagrams) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
