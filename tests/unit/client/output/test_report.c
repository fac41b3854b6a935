/* SPDX-License-Identifier: MIT */
/* The sentence about the datagrams of a check. */

#include "client/output/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "unit.h"

/* It has each count under its own name, and no count of zero but the losses. */
static void test_datagrams(void **state) {
        static const struct {
                VolleyCounts counts;
                const char *text;
        } cases[] = {
                { { .sent = 1, .answered = 1 }, "/echo: 1 sent, 1 answered, 0 lost in 2.000 s\n" },
                { { .sent = 20,
                    .answered = 4,
                    .late = 3,
                    .changed = 2,
                    .rejected = 1,
                    .open = 5,
                    .duplicate = 6,
                    .reordered = 7,
                    .unrecognized = 8,
                    .jitter = 1000 },
                  "/echo: 20 sent, 4 answered, 5 lost (33.3 %), 3 late, 2 changed, 1 rejected, "
                  "5 under way at the end, 6 duplicate, 7 reordered, 8 unrecognized in 2.000 s\n"
                  "jitter = 1.00 us\n" },
        };
        const ClientOptions options = { .action = CLIENT_CHECK,
                                        .connection.datagram = true,
                                        .target.host = "/echo" };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const Report report = { .attempts = 1,
                                        .counts = cases[i].counts,
                                        .elapsed = 2 * CLOCK_SECOND };
                FILE *const before = stdout;
                size_t size;
                char *text;

                stdout = open_memstream(&text, &size);
                assert_non_null(stdout);
                assert_int_equal(report_print(&report, &options), 0);
                (void)fclose(stdout);
                stdout = before;
                /* The sentence about the contents follows. */
                text[size < strlen(cases[i].text) ? size : strlen(cases[i].text)] = '\0';
                assert_string_equal(text, cases[i].text);
                free(text);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_datagrams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
