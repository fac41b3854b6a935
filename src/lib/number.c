/* SPDX-License-Identifier: MIT */
/*
 * Parses decimal numbers: options, ports, and the numbers in names of stored descriptors.
 *
 * strtoull(3) accepts blanks and signs, wraps "-1" to a large number, and stops at the first other
 * character. Here each of these is an error, because it is more often a mistake than an intention.
 * Nothing here may depend on the locale or on errno.
 */
#include "lib/number.h"

#include <errno.h>

int number_parse(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_number) {
        uint64_t number = 0;
        int r = 0;

        if (*text == '\0')
                return -EINVAL;
        /* Goes on after an overflow: "99999999999999999999x" is not a number out of range. */
        for (; *text != '\0'; text++) {
                uint64_t digit = (uint64_t)*text - '0';

                if (digit > 9)
                        return -EINVAL;
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, digit, &number))
                        r = -ERANGE;
        }
        if (r < 0 || number < minimum || number > maximum)
                return -ERANGE;
        *ret_number = number;
        return 0;
}
