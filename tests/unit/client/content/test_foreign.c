/* SPDX-License-Identifier: MIT */
/* Text of another service is told from damage. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "client/content/foreign.h"
#include "client/content/pattern.h"

/* Greetings are quoted up to the end of their first line. */
static void test_greetings(void **state) {
        static const struct {
                const char *answer, *text;
        } cases[] = {
                { "SSH-2.0-OpenSSH_9.2p1\r\n", "«SSH-2.0-OpenSSH_9.2p1»" },
                { "HTTP/1.1 400 Bad Request\r\nServer: x\r\n", "«HTTP/1.1 400 Bad Request»" },
                { "220 mail.example ESMTP | x", "«220 mail.example ESMTP »" },
                { "+OK ready", "«+OK ready»" },
        };
        char message[100], text[FOREIGN_TEXT_SIZE];
        Pattern pattern;

        (void)state;
        pattern_init(&pattern);
        pattern_fill(&pattern, 0, message, sizeof message);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                assert_true(foreign_describe(cases[i].answer, message, strlen(cases[i].answer),
                                             text));
                assert_string_equal(strstr(text, "«"), cases[i].text);
        }
}

/* A header of the PROXY protocol that comes back is none of another service; parts of one are
 * damage. */
static void test_headers(void **state) {
        static const char version2[] = "\r\n\r\n\0\r\nQUIT\n\x21";
        char message[100] = "", text[FOREIGN_TEXT_SIZE];

        (void)state;
        assert_true(foreign_describe("PROXY TCP4", message, 10, text));
        assert_string_equal(text, "the answer begins with a PROXY header");
        text[0] = '\0';
        assert_true(foreign_describe("PROXY ", message, 6, text));
        assert_true(foreign_describe(version2, message, sizeof version2 - 1, text));
        assert_string_equal(text, "the answer begins with a PROXY header");
        assert_true(foreign_describe(version2, message, 12, text));
        assert_false(foreign_describe(version2, message, 11, text));
        assert_false(foreign_describe("PROXY", message, 5, text));
}

/* A long line is cut, and the sentence fits. */
static void test_long_line(void **state) {
        char message[200] = "", answer[200], text[FOREIGN_TEXT_SIZE];

        (void)state;
        memset(answer, 'x', sizeof answer);
        assert_true(foreign_describe(answer, message, sizeof answer, text));
        assert_non_null(strstr(text, "x»"));
}

/* Changed bytes, other bytes and a few bytes are no text. */
static void test_damage(void **state) {
        char message[] = "what was sent", text[FOREIGN_TEXT_SIZE] = "untouched";

        (void)state;
        assert_false(foreign_describe("what was semt", message, sizeof message - 1, text));
        assert_false(foreign_describe("\x01nother  text", message, sizeof message - 1, text));
        assert_false(foreign_describe("other", message, 5, text));
        assert_false(foreign_describe("", message, 0, text));
        assert_string_equal(text, "untouched");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_greetings),
                cmocka_unit_test(test_headers),
                cmocka_unit_test(test_long_line),
                cmocka_unit_test(test_damage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
