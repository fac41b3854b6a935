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

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_died_while_draining) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
