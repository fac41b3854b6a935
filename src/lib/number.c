/* SPDX-License-Identifier: MIT */
/*
 * Parses decimal numbers more strictly than strtoull(3): digits alone, within a range.
 */
#include "lib/number.h"

#include <errno.h>

int number_parse(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_number) {
        uint64_t number = 0;
        int r = 0;

        if (*text == '\0')
                return -EINVAL;
        /* strtoull(3) would take blanks and signs. All digits are looked at even once the number is
         * too large: what follows may make it no number at all. */
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
