/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/number.c --unwind 7 */
/* number_parse() takes exactly the decimal numbers of the range, and nothing else. */
#include "lib/number.h"

#include <errno.h>

#include "prove.h"

enum {
        SIZE = 6,
};

void harness(void) {
        char text[SIZE];
        const uint32_t minimum = nondet_uint32(), maximum = nondet_uint32();
        uint64_t number;
        uint32_t value = 0;
        bool digits;
        int r;

        fill_text(text, sizeof text);
        digits = text[0] != '\0';
        for (size_t i = 0; i < SIZE && text[i] != '\0'; i++) {
                digits = digits && text[i] >= '0' && text[i] <= '9';
                value = value * 10 + (uint32_t)((unsigned char)text[i] - '0') % 10;
        }

        r = number_parse(text, minimum, maximum, &number);

        prove(digits || r == -EINVAL, "number_parse() refuses other texts as such");
        prove(!digits || r == (value >= minimum && value <= maximum ? 0 : -ERANGE),
              "number_parse() takes a number exactly when it lies in the range");
        prove(r < 0 || number == value, "number_parse() returns the number that the digits write");
}
