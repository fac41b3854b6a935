/* SPDX-License-Identifier: MIT */
/* Connections that are not logged one by one. */

#include "report/summary.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "unit.h"

#define START (1000 * CLOCK_SECOND)

static Summary summary;

static int set_up(void **state) {
        (void)state;
        summary = (Summary){};
        return 0;
}

/* Adds @n refused connections of the source that @number stands for. */
static void refuse(unsigned number, unsigned n) {
        char peer[ADDRESS_TEXT_SIZE];

        snprintf(peer, sizeof peer, "10.0.%u.%u:7", number / 256, number % 256);
        for (unsigned i = 0; i < n; i++)
                (void)summary_add(&summary,
                                  &(Record){ .kind = RECORD_REFUSED,
                                             .peer = peer,
                                             .limit = "max-per-source" },
                                  START);
}

static void expect_refusals(const Record *record, const char *source, uint64_t n) {
        assert_int_equal(record->kind, RECORD_REFUSALS);
        assert_int_equal(record->refused, n);
        assert_string_equal(record->limit, "max-per-source");
        if (source == NULL)
                assert_null(record->peer);
        else
                assert_string_equal(record->peer, source);
}

/* The summary has the counts of each kind, the bytes, and the time since the first connection. */
static void test_counts(void **state) {
        Record records[SUMMARY_RECORDS];

        (void)state;
        assert_int_equal(summary_records(&summary, records, START), 0);
        assert_true(summary_add(&summary, &(Record){ .kind = RECORD_ACCEPTED }, START));
        assert_false(summary_add(&summary, &(Record){ .kind = RECORD_CLOSED, .bytes = 5 }, START));
        assert_false(summary_add(&summary, &(Record){ .kind = RECORD_CLOSED, .bytes = 6 }, START));
        assert_false(summary_add(&summary, &(Record){ .kind = RECORD_CRASHED, .bytes = 7 }, START));
        assert_int_equal(summary_records(&summary, records, START + CLOCK_SECOND), 1);
        assert_int_equal(records[0].kind, RECORD_SUMMARY);
        assert_int_equal(records[0].accepted, 1);
        assert_int_equal(records[0].closed, 2);
        assert_int_equal(records[0].crashed, 1);
        assert_int_equal(records[0].refused, 0);
        assert_int_equal(records[0].bytes, 18);
        assert_int_equal(records[0].duration, CLOCK_SECOND);

        summary_clear(&summary);
        assert_int_equal(summary_records(&summary, records, START), 0);
        assert_true(summary_add(&summary, &(Record){ .kind = RECORD_CLOSED }, START + 9));
        assert_int_equal(summary_records(&summary, records, START + 9), 1);
        assert_int_equal(records[0].closed, 1);
        assert_int_equal(records[0].duration, 0);
}

/* The ten busiest sources follow by name, the busiest first and equal ones in order; then the
 * others together. */
static void test_busiest(void **state) {
        Record records[SUMMARY_RECORDS];

        (void)state;
        for (unsigned i = 12; i-- > 0;)
                refuse(i, i == 7 ? 5 : 2);
        assert_int_equal(summary_records(&summary, records, START), SUMMARY_RECORDS);
        assert_int_equal(records[0].refused, 11 * 2 + 5);
        expect_refusals(&records[1], "10.0.0.7", 5);
        expect_refusals(&records[2], "10.0.0.0", 2);
        expect_refusals(&records[3], "10.0.0.1", 2);
        expect_refusals(&records[4], "10.0.0.10", 2);
        expect_refusals(&records[11], NULL, 4);
}

/* However many sources there are, each refused connection is in one record. */
static void test_many_sources(void **state) {
        Record records[SUMMARY_RECORDS];
        uint64_t refused = 0;

        (void)state;
        for (unsigned i = 0; i < 2 * SUMMARY_SOURCES; i++)
                refuse(i, 1 + i % 3);
        assert_int_equal(summary_records(&summary, records, START), SUMMARY_RECORDS);
        for (size_t i = 1; i < SUMMARY_RECORDS; i++)
                refused += records[i].refused;
        assert_int_equal(refused, records[0].refused);

        summary_clear(&summary);
        refuse(1, 1);
        assert_int_equal(summary_records(&summary, records, START), 2);
        expect_refusals(&records[1], "10.0.0.1", 1);
}

/* A busy source has its record, although many were there before it and others come meanwhile. */
static void test_late_source(void **state) {
        Record records[SUMMARY_RECORDS];

        (void)state;
        for (unsigned i = 1; i <= SUMMARY_SOURCES; i++)
                refuse(i, 1);
        for (unsigned i = 1; i <= 100; i++) {
                refuse(0, 2);
                refuse(SUMMARY_SOURCES + i, 1);
        }
        assert_int_equal(summary_records(&summary, records, START), SUMMARY_RECORDS);
        expect_refusals(&records[1], "10.0.0.0", 200);
        assert_int_equal(records[0].refused, SUMMARY_SOURCES + 300);
}

/* A source that is refused because of two limits has a record of each. */
static void test_limits(void **state) {
        const Record other = { .kind = RECORD_REFUSED,
                               .peer = "10.0.0.1:7",
                               .limit = "proxy-header" };
        Record records[SUMMARY_RECORDS];

        (void)state;
        refuse(1, 2);
        (void)summary_add(&summary, &other, START);
        for (unsigned i = 2; i < 2 + SUMMARY_SOURCES_NAMED; i++)
                refuse(i, 3);
        assert_int_equal(summary_records(&summary, records, START), SUMMARY_RECORDS);
        assert_null(records[SUMMARY_RECORDS - 1].peer);
        assert_int_equal(records[SUMMARY_RECORDS - 1].refused, 3);
        assert_string_equal(records[SUMMARY_RECORDS - 1].limit, RECORD_LIMIT_SEVERAL);

        summary_clear(&summary);
        refuse(1, 2);
        (void)summary_add(&summary, &other, START);
        assert_int_equal(summary_records(&summary, records, START), 3);
        expect_refusals(&records[1], "10.0.0.1", 2);
        assert_string_equal(records[2].limit, "proxy-header");
        assert_int_equal(records[2].refused, 1);

        /* Equal ones have an order, too. */
        summary_clear(&summary);
        (void)summary_add(&summary, &other, START);
        refuse(1, 1);
        assert_int_equal(summary_records(&summary, records, START), 3);
        expect_refusals(&records[1], "10.0.0.1", 1);
        assert_string_equal(records[2].limit, "proxy-header");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_counts, set_up),
                cmocka_unit_test_setup(test_busiest, set_up),
                cmocka_unit_test_setup(test_many_sources, set_up),
                cmocka_unit_test_setup(test_late_source, set_up),
                cmocka_unit_test_setup(test_limits, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
