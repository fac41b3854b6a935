/* SPDX-License-Identifier: MIT */
/* Reasons: a closed list. */

#include "report/end_reason.h"

#include <string.h>

#include "unit.h"

/* The texts are the ones that the manual promises. */
static void test_texts(void **state) {
        (void)state;
        assert_int_equal(END_COUNT, 6);
        assert_string_equal(end_reason_text(END_CLOSED_BY_PEER), "closed by peer");
        assert_string_equal(end_reason_text(END_RESET_BY_PEER), "reset by peer");
        assert_string_equal(end_reason_text(END_IDLE), "idle");
        assert_string_equal(end_reason_text(END_STALLED), "stalled");
        assert_string_equal(end_reason_text(END_STOPPED), "stopped");
        assert_string_equal(end_reason_text(END_FAILED), "failed");
}

/* Every reason survives being an exit code, and an exit code that is none is a failure. */
static void test_exit_codes(void **state) {
        (void)state;
        assert_int_equal(END_CLOSED_BY_PEER, 0);
        for (int code = -3; code < 300; code++)
                assert_int_equal(end_reason_from_exit_code(code),
                                 code >= 0 && code < END_COUNT ? code : END_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_exit_codes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
