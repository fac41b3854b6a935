/* SPDX-License-Identifier: MIT */
/* Sentences. */

#include "lib/failure.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

/* A sentence is what printf(3) would print, and the error is passed on. */
static void test_set(void **state) {
        Failure failure = {};

        (void)state;
        assert_int_equal(failure_set(&failure, -EIO, "%s is %d", "this", 7), -EIO);
        assert_string_equal(failure.text, "this is 7");
        assert_int_equal(failure_set(&failure, 1, "shorter"), 1);
        assert_string_equal(failure.text, "shorter");
}

/* A sentence that is too long is cut, and nothing behind it is written to. */
static void test_long(void **state) {
        struct {
                Failure failure;
                char behind;
        } room = { .behind = 'x' };
        char text[2 * FAILURE_TEXT_SIZE];

        (void)state;
        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_int_equal(failure_set(&room.failure, -ENOSPC, "%s", text), -ENOSPC);
        assert_int_equal(strlen(room.failure.text), sizeof room.failure.text - 1);
        assert_int_equal(strspn(room.failure.text, "a"), sizeof room.failure.text - 1);
        assert_int_equal(room.behind, 'x');
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
