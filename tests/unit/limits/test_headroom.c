/* SPDX-License-Identifier: MIT */
/* Whether the service has memory for another connection. */

#include "limits/headroom.h"

#include "group.h"
#include "lib/clock.h"
#include "unit.h"

/* Nothing here waits for time to pass. */
#define START (1000 * CLOCK_SECOND)

/* Writes what the group uses, and its limits; NULL for a file that is missing. */
static void set_up(const char *used, const char *high, const char *max) {
        group_clear();
        if (used != NULL)
                group_write("memory.current", used);
        if (high != NULL)
                group_write("memory.high", high);
        if (max != NULL)
                group_write("memory.max", max);
}

static void expect_now(bool scarce) {
        Headroom headroom;

        headroom_init(&headroom);
        assert_int_equal(headroom_is_scarce(&headroom, START), scarce);
        headroom_deinit(&headroom);
        assert_int_equal(headroom.files[HEADROOM_CURRENT], -1);
        headroom_deinit(&headroom);
}

static void expect(const char *used, const char *high, const char *max, bool scarce) {
        set_up(used, high, max);
        expect_now(scarce);
}

/* Three quarters of memory.high, or of memory.max if that is lower. */
static void test_limits(void **state) {
        (void)state;
        expect("749\n", "1000\n", "max\n", false);
        expect("750\n", "1000\n", "max\n", true);
        expect("9999\n", "1000\n", "max\n", true);
        expect("749\n", "max\n", "1000\n", false);
        expect("750\n", "max\n", "1000\n", true);
        expect("750\n", "1001\n", "1000\n", true);
        expect("750\n", "1000\n", "1001\n", true);
        expect("0\n", "0\n", "max\n", true);
}

/* Without limits, or without what they are compared with, there is enough. */
static void test_none(void **state) {
        (void)state;
        expect("18446744073709551614\n", "max\n", "max\n", false);
        expect("18446744073709551614\n", NULL, NULL, false);
        expect(NULL, "1000\n", "1000\n", false);
        expect("", "1000\n", "1000\n", false);
        expect("750\n", "1000\n", NULL, true);
        expect("750\n", NULL, "1000\n", true);
}

/* The cache of files does not count. */
static void test_cache(void **state) {
        (void)state;
        set_up("950\n", "1000\n", "max\n");
        group_write("memory.stat", "anon 100\nfile 250\ninactive_file 150\nactive_file 51\n");
        expect_now(false);
        group_write("memory.stat", "anon 100\nfile 250\ninactive_file 150\nactive_file 50\n");
        expect_now(true);
        group_write("memory.stat", "anon 100\n");
        expect_now(true);
}

/* It looks once in 10 ms, and sees what has changed by then: what is used, and the limit. */
static void test_pause(void **state) {
        Headroom headroom;

        (void)state;
        set_up("749\n", "1000\n", "max\n");
        headroom_init(&headroom);
        assert_false(headroom_is_scarce(&headroom, START));
        group_write("memory.current", "750\n");
        assert_false(headroom_is_scarce(&headroom, START + 10 * CLOCK_MILLISECOND - 1));
        assert_true(headroom_is_scarce(&headroom, START + 10 * CLOCK_MILLISECOND));
        group_write("memory.high", "1004\n");
        assert_true(headroom_is_scarce(&headroom, START + 20 * CLOCK_MILLISECOND - 1));
        assert_false(headroom_is_scarce(&headroom, START + 20 * CLOCK_MILLISECOND));
        headroom_deinit(&headroom);
        group_clear();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_cache),
                cmocka_unit_test(test_pause),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
