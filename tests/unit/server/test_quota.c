/* SPDX-License-Identifier: MIT */
/* How many connections a source may have. */

#include "server/quota.h"

#include "unit.h"

static Source source_of(uint64_t i) {
        return (Source){ .family_and_scope = i % 2, .prefix = i / 2 };
}

/* A source gets as many as it may have, and one more for each that leaves; others are not
 * concerned. */
static void test_per_source(void **state) {
        Limits *limits;

        (void)state;
        assert_int_equal(limits_new(100, 3, &limits), 0);
        for (uint64_t i = 0; i < 4; i++) {
                for (int n = 0; n < 3; n++)
                        assert_true(limits_enter(limits, source_of(i)));
                assert_false(limits_enter(limits, source_of(i)));
                assert_false(limits_enter(limits, source_of(i)));
        }
        limits_leave(limits, source_of(2));
        assert_false(limits_enter(limits, source_of(1)));
        assert_false(limits_enter(limits, source_of(3)));
        assert_true(limits_enter(limits, source_of(2)));
        assert_false(limits_enter(limits, source_of(2)));
        assert_null(limits_free(limits));
}

/* A source that has left altogether takes no room: any number of sources may come one after
 * another. */
static void test_room(void **state) {
        Limits *limits;

        (void)state;
        assert_int_equal(limits_new(4, 2, &limits), 0);
        for (uint64_t i = 0; i < 1000; i++) {
                assert_true(limits_enter(limits, source_of(i)));
                if (i >= 4 - 1)
                        limits_leave(limits, source_of(i - 3));
        }
        limits_free(limits);
}

/* Without a limit any source gets any number. */
static void test_none(void **state) {
        Limits *limits;

        (void)state;
        assert_int_equal(limits_new(2, 0, &limits), 0);
        for (int i = 0; i < 1000; i++)
                assert_true(limits_enter(limits, source_of(1)));
        limits_leave(limits, source_of(1));
        assert_null(limits_free(limits));
        assert_null(limits_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_per_source),
                cmocka_unit_test(test_room),
                cmocka_unit_test(test_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
