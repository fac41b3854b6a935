/* SPDX-License-Identifier: MIT */
/* Reasons: a closed list. */

#include "lib/end_reason.h"

#include <string.h>

#include "unit.h"

/* The texts are the ones that the manual promises. */
static void test_texts(void **state) {
        (void)state;
        assert_int_equal(REASON_COUNT, 6);
        assert_string_equal(reason_text(REASON_CLOSED_BY_PEER), "closed by peer");
        assert_string_equal(reason_text(REASON_RESET_BY_PEER), "reset by peer");
        assert_string_equal(reason_text(REASON_IDLE), "idle");
        assert_string_equal(reason_text(REASON_STALLED), "stalled");
        assert_string_equal(reason_text(REASON_STOPPED), "stopped");
        assert_string_equal(reason_text(REASON_FAILED), "failed");
}

/* Every reason survives being an exit code, and an exit code that is none is a failure. */
static void test_exit_codes(void **state) {
        (void)state;
        assert_int_equal(REASON_CLOSED_BY_PEER, 0);
        for (int code = -3; code < 300; code++)
                assert_int_equal(reason_from_exit_code(code),
                                 code >= 0 && code < REASON_COUNT ? code : REASON_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_exit_codes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
