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

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_died_while_draining),
                                            cmocka_unit_test(test_worst) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
