/* SPDX-License-Identifier: MIT */
/* Reports during a run: when each is due, and what it covers. */

#include "client/output/interim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "unit.h"

#define START    (1000 * CLOCK_SECOND)
#define INTERVAL (100 * CLOCK_MILLISECOND)

static const ClientOptions options = { .action = CLIENT_LOAD, .interval = INTERVAL };
static Interims interims;
static FILE *output;
static char *text;
static size_t size;

/* Reports go to standard output, which is cmocka's between the tests. */
static int set_up(void **state) {
        *state = stdout;
        output = open_memstream(&text, &size);
        interims_init(&interims, &options, START);
        stdout = output;
        return output == NULL;
}

static int tear_down(void **state) {
        stdout = *state;
        (void)fclose(output);
        free(text);
        return 0;
}

/* Returns the counts at an instant after the start. */
static Interim at(uint64_t elapsed, uint64_t answered, uint64_t errors) {
        return (Interim){ .elapsed = elapsed,
                          .answered = answered,
                          .bytes_sent = 1024 * answered,
                          .bytes_received = 1024 * answered,
                          .errors = errors };
}

static void expect(Interim now, uint64_t next, const char *line) {
        const long before = ftell(output);

        interims_report(&interims, &now);
        assert_string_equal(text + before, line);
        assert_true(interims.next == START + next);
}

/* A count of a run that goes on has no more bytes received than sent. */
static void test_settle(void **state) {
        Interim count = { .bytes_sent = 5, .bytes_received = 5 };

        (void)state;
        interim_settle(&count);
        assert_int_equal(count.bytes_received, 5);
        count.bytes_sent = 4;
        interim_settle(&count);
        assert_int_equal(count.bytes_received, 4);
        count.bytes_sent = 6;
        interim_settle(&count);
        assert_int_equal(count.bytes_received, 4);
        assert_int_equal(count.bytes_sent, 6);
}

/* Reports are due at multiples of the interval. A late one covers a longer time and says so, and
 * the next one is on time. */
static void test_due(void **state) {
        (void)state;
        assert_true(interims.next == START + INTERVAL);
        expect(at(INTERVAL, 10, 0), 2 * INTERVAL,
               "0.0-0.1 s: 10 answered, 100.0/s, 100.0 KiB/s there, 100.0 KiB/s back, 0 errors\n");
        expect(at(INTERVAL * 32 / 10, 21, 1), 4 * INTERVAL,
               "0.1-0.3 s: 11 answered, 50.0/s, 50.0 KiB/s there, 50.0 KiB/s back, 1 error\n");
        expect(at(4 * INTERVAL, 21, 1), 5 * INTERVAL,
               "0.3-0.4 s: 0 answered, 0.0/s, 0 bytes/s there, 0 bytes/s back, 0 errors\n");
}

/* What has no answers of its own, as a check and streams, has its bytes in their place, and a check
 * has faults. */
static void test_bytes(void **state) {
        static const ClientOptions check = { .action = CLIENT_CHECK },
                                   streams = { .action = CLIENT_LOAD, .load = LOAD_STREAMS },
                                   ping = { .action = CLIENT_PING };
        const Interim none = {}, part = at(CLOCK_SECOND, 1, 2);

        (void)state;
        interim_print(output, &none, &part, &check);
        interim_print(output, &none, &part, &streams);
        interim_print(output, &none, &part, &ping);
        assert_string_equal(text, "0.0-1.0 s: 1024 bytes sent, 1024 came back, 1.0 KiB/s there, "
                                  "1.0 KiB/s back, 2 faults\n"
                                  "0.0-1.0 s: 1024 bytes sent, 1024 came back, 1.0 KiB/s there, "
                                  "1.0 KiB/s back, 2 errors\n"
                                  "0.0-1.0 s: 1 answered, 1.0/s, 1.0 KiB/s there, 1.0 KiB/s back, "
                                  "2 errors\n");
}

/* An error that a late answer revokes is in no later report, and the next one counts once more. */
static void test_revoked(void **state) {
        (void)state;
        interims_report(&interims, &(Interim){ .elapsed = INTERVAL, .errors = 3 });
        interims_report(&interims, &(Interim){ .elapsed = 2 * INTERVAL, .errors = 2 });
        assert_int_equal(interims.last.errors, 3);
        interims_report(&interims, &(Interim){ .elapsed = 3 * INTERVAL, .errors = 4 });
        assert_int_equal(interims.last.errors, 4);
        assert_non_null(strstr(text, "back, 0 errors\n0.2-0.3 s: "));
        assert_non_null(strstr(text, "back, 1 error\n"));
}

/* At the end of a run, only a count that no report has makes another one. */
static void test_end(void **state) {
        static const Interim parts[] = {
                { .answered = 1 }, { .bytes_sent = 1 }, { .bytes_received = 1 }, { .errors = 1 }
        };

        (void)state;
        interims_end(&interims, &(Interim){ .elapsed = 1 });
        assert_int_equal(ftell(output), 0);
        for (size_t i = 0; i < COUNT(parts); i++) {
                const long before = ftell(output);

                interims_init(&interims, &options, START);
                interims_end(&interims, &parts[i]);
                assert_true(ftell(output) > before);
        }
}

/* Without an interval there is no report, neither in the run nor at its end. */
static void test_none(void **state) {
        const ClientOptions none = { .action = CLIENT_LOAD };

        (void)state;
        interims_init(&interims, &none, START);
        assert_true(interims.next == CLOCK_NEVER);
        interims_end(&interims, &(Interim){ .elapsed = 1, .answered = 1 });
        assert_int_equal(ftell(output), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settle),
                cmocka_unit_test_setup_teardown(test_due, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bytes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_revoked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
