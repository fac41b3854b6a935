/* SPDX-License-Identifier: MIT */
/* The sum of the workers' counts, also of one that died. */

#include "client/load/load_result.h"

#include "lib/clock.h"
#include "unit.h"

/* The run lasts as long as the longest window, also when the worker died before it noted its end:
 * the time of draining is never negative. */
static void test_died_while_draining(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS };
        static LoadPage pages[2];
        static Report report;

        (void)state;
        pages[0].elapsed = 2 * CLOCK_SECOND;
        pages[0].window.elapsed = CLOCK_SECOND;
        pages[1].window.elapsed = 3 * CLOCK_SECOND;
        load_result_set(&options, pages, 2, &report);
        assert_int_equal(report.window.elapsed, 3 * CLOCK_SECOND);
        assert_int_equal(report.elapsed, 3 * CLOCK_SECOND);
}

/* Rates are those of what the workers counted within the time, or until they died. */
static void test_window(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS };
        static LoadPage pages[3];
        static Report report;

        (void)state;
        pages[0].window = (Interim){ CLOCK_SECOND, 1, 10, 100, 0 };
        pages[1].window = (Interim){ CLOCK_SECOND, 2, 20, 200, 0 };
        pages[2].answered = 4;
        pages[2].bytes_sent = 40;
        pages[2].bytes_received = 400;
        load_result_set(&options, pages, 3, &report);
        assert_int_equal(report.window.answered, 7);
        assert_int_equal(report.window.bytes_sent, 70);
        assert_int_equal(report.window.bytes_received, 700);
}

/* Damage represents all errors, else the most frequent kind; the first of equally frequent ones. */
static void test_worst(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS };
        static const struct {
                unsigned refused, reset, differs;
                FailureKind worst;
        } cases[] = { { 2, 1, 0, FAILURE_REFUSED },
                      { 2, 2, 0, FAILURE_REFUSED },
                      { 2, 3, 0, FAILURE_RESET },
                      { 2, 3, 1, FAILURE_DIFFERS } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                LoadPage page = { .errors = { [FAILURE_REFUSED] = cases[i].refused,
                                              [FAILURE_RESET] = cases[i].reset,
                                              [FAILURE_DIFFERS] = cases[i].differs } };
                Report report = {};

                load_result_set(&options, &page, 1, &report);
                assert_int_equal(report.failure.kind, cases[i].worst);
        }
}

/* Another service is the verdict unless any worker had a correct answer. */
static void test_other_service(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS };
        LoadPage pages[2] = { { .errors[FAILURE_DIFFERS] = 1, .foreign = "no echo" } };
        Report foreign = {}, echo = {};

        (void)state;
        load_result_set(&options, pages, COUNT(pages), &foreign);
        assert_string_equal(foreign.failure.text, "no echo");

        pages[1].answered = 1;
        load_result_set(&options, pages, COUNT(pages), &echo);
        assert_int_equal(echo.failure.kind, FAILURE_DIFFERS);
        assert_string_equal(echo.failure.text, "1 error");
}

/* A load that ended before the first answer fails, also in the middle of that answer. Of streams
 * any byte is one. */
static void test_no_answer(void **state) {
        static const struct {
                LoadKind load;
                unsigned answered, received;
                FailureKind failure;
        } cases[] = { { LOAD_REQUESTS, 0, 0, FAILURE_INTERRUPTED },
                      { LOAD_REQUESTS, 0, 1, FAILURE_INTERRUPTED },
                      { LOAD_REQUESTS, 1, 2, FAILURE_NONE },
                      { LOAD_CONNECTIONS, 0, 1, FAILURE_INTERRUPTED },
                      { LOAD_STREAMS, 0, 0, FAILURE_INTERRUPTED },
                      { LOAD_STREAMS, 0, 1, FAILURE_NONE } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const ClientOptions options = { .load = cases[i].load };
                const LoadPage page = { .answered = cases[i].answered,
                                        .bytes_received = cases[i].received };
                Report report = {};

                load_result_set(&options, &page, 1, &report);
                assert_int_equal(report.failure.kind, cases[i].failure);
        }
}

/* The counts of all workers add up. */
static void test_sum(void **state) {
        static const ClientOptions options = { .load = LOAD_REQUESTS };
        static LoadPage pages[2];
        static Report report;

        (void)state;
        for (size_t i = 0; i < COUNT(pages); i++)
                pages[i] = (LoadPage){ .answered = 1 + i,
                                       .overdue = 2 + i,
                                       .reconnects = 3 + i,
                                       .bytes_sent = 4 + i,
                                       .bytes_received = 5 + i,
                                       .phases = { .connections = 6 + i,
                                                   .connect = 7 + i,
                                                   .answers = 8 + i,
                                                   .first = 9 + i,
                                                   .last = 10 + i } };
        load_result_set(&options, pages, COUNT(pages), &report);
        assert_int_equal(report.processes, 2);
        assert_int_equal(report.answered, 3);
        assert_int_equal(report.overdue, 5);
        assert_int_equal(report.reconnects, 7);
        assert_int_equal(report.bytes_sent, 9);
        assert_int_equal(report.bytes_received, 11);
        assert_int_equal(report.phases.connections, 13);
        assert_int_equal(report.phases.connect, 15);
        assert_int_equal(report.phases.answers, 17);
        assert_int_equal(report.phases.first, 19);
        assert_int_equal(report.phases.last, 21);
        assert_int_equal(report.failure.kind, FAILURE_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_died_while_draining), cmocka_unit_test(test_window),
                cmocka_unit_test(test_other_service),       cmocka_unit_test(test_worst),
                cmocka_unit_test(test_no_answer),           cmocka_unit_test(test_sum)
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
