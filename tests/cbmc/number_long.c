/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/number.c --unwind 25 */
/* number_parse() never takes a number that a uint64_t cannot hold. */
#include "lib/number.h"

#include <errno.h>

#include "prove.h"

enum {
        SIZE = 24, /* UINT64_MAX has 20 digits */
};

void harness(void) {
        char text[SIZE];
        uint64_t number;
        size_t length = 0;
        bool digits = true;
        int r;

        fill_text(text, sizeof text);
        for (; text[length] != '\0'; length++)
                digits = digits && text[length] >= '0' && text[length] <= '9';
        assume(text[0] != '0');

        r = number_parse(text, 0, UINT64_MAX, &number);

        prove(digits || r == -EINVAL, "number_parse() looks at all digits");
        prove(!digits || length <= 20 || r == -ERANGE, "number_parse() notices an overflow");
}
