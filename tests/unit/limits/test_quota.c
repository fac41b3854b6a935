/* SPDX-License-Identifier: MIT */
/* How many connections a source may have. */

#include "limits/quota.h"

#include "unit.h"

static Source source_of(uint64_t i) {
        return (Source){ .family_and_scope = i % 2, .prefix = i / 2 };
}

/* A source gets as many as it may have, and one more for each that leaves; others are not
 * concerned. */
static void test_per_source(void **state) {
        Quota *quota;

        (void)state;
        assert_int_equal(quota_new(100, 3, &quota), 0);
        for (uint64_t i = 0; i < 4; i++) {
                for (int n = 0; n < 3; n++)
                        assert_true(quota_charge(quota, source_of(i)));
                assert_false(quota_charge(quota, source_of(i)));
                assert_false(quota_charge(quota, source_of(i)));
        }
        quota_release(quota, source_of(2));
        assert_false(quota_charge(quota, source_of(1)));
        assert_false(quota_charge(quota, source_of(3)));
        assert_true(quota_charge(quota, source_of(2)));
        assert_false(quota_charge(quota, source_of(2)));
        assert_null(quota_free(quota));
}

/* A source that has left altogether takes no room: any number of sources may come one after
 * another. */
static void test_room(void **state) {
        Quota *quota;

        (void)state;
        assert_int_equal(quota_new(4, 2, &quota), 0);
        for (uint64_t i = 0; i < 1000; i++) {
                assert_true(quota_charge(quota, source_of(i)));
                if (i >= 4 - 1)
                        quota_release(quota, source_of(i - 3));
        }
        quota_free(quota);
}

/* Without a limit any source gets any number. */
static void test_none(void **state) {
        Quota *quota;

        (void)state;
        assert_int_equal(quota_new(2, 0, &quota), 0);
        for (int i = 0; i < 1000; i++)
                assert_true(quota_charge(quota, source_of(1)));
        quota_release(quota, source_of(1));
        assert_null(quota_free(quota));
        assert_null(quota_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_per_source),
                cmocka_unit_test(test_room),
                cmocka_unit_test(test_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
