/* SPDX-License-Identifier: MIT */
/* Numbers: decimal digits in a range, and nothing else. */

#include "lib/number.h"

#include <errno.h>

#include "unit.h"

/* What is a number in the range is read, both ends of the range included. */
static void test_numbers(void **state) {
        static const struct {
                const char *text;
                uint64_t minimum, maximum, number;
        } cases[] = {
                { "0", 0, 0, 0 },
                { "7", 7, 7, 7 },
                { "1", 1, 65536, 1 },
                { "65536", 1, 65536, 65536 },
                { "007", 0, 10, 7 },
                { "00000000000000000000000000000042", 0, 42, 42 },
                { "18446744073709551615", 0, UINT64_MAX, UINT64_MAX },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                uint64_t number = 99;

                assert_int_equal(number_parse(cases[i].text, cases[i].minimum, cases[i].maximum,
                                              &number),
                                 0);
                assert_int_equal(number, cases[i].number);
        }
}

/* What is not a number is told from what is out of range, and neither sets the result. */
static void test_errors(void **state) {
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                { "", -EINVAL },
                { " 7", -EINVAL },
                { "7 ", -EINVAL },
                { "7\n", -EINVAL },
                { "+7", -EINVAL },
                { "-7", -EINVAL },
                { "-0", -EINVAL },
                { "0x7", -EINVAL },
                { "7s", -EINVAL },
                { "7.0", -EINVAL },
                { "1e1", -EINVAL },
                { "7/", -EINVAL },
                { "7:", -EINVAL },
                { "\xd9\xa7", -EINVAL },
                { "4", -ERANGE },
                { "11", -ERANGE },
                { "18446744073709551616", -ERANGE },
                { "18446744073709551621", -ERANGE },
                { "36893488147419103240", -ERANGE },
                { "184467440737095516200", -ERANGE },
                { "99999999999999999999999999999999999999999", -ERANGE },
                { "99999999999999999999999999999999999999999x", -EINVAL },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                uint64_t number = 99;

                if (number_parse(cases[i].text, 5, 10, &number) != cases[i].error)
                        fail_msg("'%s' is not %d", cases[i].text, cases[i].error);
                assert_int_equal(number, 99);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
