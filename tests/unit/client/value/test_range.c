/* SPDX-License-Identifier: MIT */
/* Thresholds of the monitoring plugins' guidelines. */

#include "unit.h"

#include <errno.h>
#include <string.h>

#include "client/value/range.h"

static Range parse(const char *text) {
        Range range;

        assert_int_equal(range_parse(text, strlen(text), &range), 0);
        assert_string_equal(range.text, text);
        return range;
}

/* The table of the guidelines, with both ends of each range. */
static void test_alerts(void **state) {
        static const struct {
                const char *text;
                double quiet[3];
                double alerts[3];
        } cases[] = {
                { "10", { 0, 5, 10 }, { -1, 10.001, 1e9 } },
                { "10:", { 10, 11, 1e9 }, { 9.999, 0, -5 } },
                { "~:10", { -1e9, 0, 10 }, { 10.5, 11, 1e9 } },
                { "10:20", { 10, 15, 20 }, { 9.9, 20.1, -15 } },
                { "@10:20", { 9.9, 20.1, -15 }, { 10, 15, 20 } },
                { "-5:-2.5", { -5, -3, -2.5 }, { -6, -2, 0 } },
                { "@5", { 6, -1, 5.5 }, { 0, 3, 5 } },
                { "0", { 0, 0, 0 }, { 0.1, -0.1, 1 } },
                { ":3", { 0, 1, 3 }, { -1, 3.5, 9 } },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Range range = parse(cases[i].text);

                for (size_t j = 0; j < 3; j++) {
                        if (range_alerts(&range, cases[i].quiet[j]))
                                fail_msg("%s alerts at %g", cases[i].text, cases[i].quiet[j]);
                        if (!range_alerts(&range, cases[i].alerts[j]))
                                fail_msg("%s is quiet at %g", cases[i].text, cases[i].alerts[j]);
                }
        }
        assert_false(range_alerts(&(Range){}, 1e9));
}

/* Only the given bytes count, and what is no range changes nothing. */
static void test_wrong(void **state) {
        static const char *const wrong[] = {
                "",  "x",     "1x",  "20:10", "-1",  "@",
                "~", "1:2:3", "0x1", "nan",   "1e3", "@@1",
                "-", "1..2",  "1:x", "x:1",   " 1",  "11111111111111111111111111111111111111111"
        };
        Range range = { .text = "7" };

        (void)state;
        for (size_t i = 0; i < COUNT(wrong); i++)
                if (range_parse(wrong[i], strlen(wrong[i]), &range) != -EINVAL)
                        fail_msg("'%s'", wrong[i]);
        assert_string_equal(range.text, "7");
        assert_int_equal(range_parse("12345", 2, &range), 0);
        assert_string_equal(range.text, "12");
        assert_true(range.end == 12);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_alerts),
                cmocka_unit_test(test_wrong),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
