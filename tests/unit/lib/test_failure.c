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

/* Each errno of a socket has a kind that is true of it; those of this machine are the rest. */
static void test_kinds(void **state) {
        static const struct {
                int error;
                FailureKind kind;
        } cases[] = {
                { ECONNREFUSED, FAILURE_REFUSED },
                { ENOENT, FAILURE_UNREACHABLE },
                { ENOTDIR, FAILURE_UNREACHABLE },
                { EHOSTUNREACH, FAILURE_UNREACHABLE },
                { ENETUNREACH, FAILURE_UNREACHABLE },
                { EHOSTDOWN, FAILURE_UNREACHABLE },
                { ENETDOWN, FAILURE_UNREACHABLE },
                { ENONET, FAILURE_UNREACHABLE },
                { ETIMEDOUT, FAILURE_TIMEOUT },
                { ETIME, FAILURE_TIMEOUT },
                { ECONNRESET, FAILURE_RESET },
                { ECONNABORTED, FAILURE_RESET },
                { EPIPE, FAILURE_CLOSED },
                { EBADMSG, FAILURE_DIFFERS },
                { EINTR, FAILURE_INTERRUPTED },
                { EADDRNOTAVAIL, FAILURE_LOCAL },
                { EMFILE, FAILURE_LOCAL },
                { EACCES, FAILURE_LOCAL },
                { EPERM, FAILURE_LOCAL },
                { ELOOP, FAILURE_LOCAL },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                assert_int_equal(failure_kind_from_errno(cases[i].error), cases[i].kind);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_long),
                cmocka_unit_test(test_kinds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
