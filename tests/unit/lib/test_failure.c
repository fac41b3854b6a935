/* SPDX-License-Identifier: MIT */
/* Sentences. */

#include "lib/failure.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

/* A sentence is what printf(3) would print, and the error is passed on. */
static void test_set(void **state) {
        Sentence sentence = {};

        (void)state;
        assert_int_equal(sentence_set(&sentence, -EIO, "%s is %d", "this", 7), -EIO);
        assert_string_equal(sentence.text, "this is 7");
        assert_int_equal(sentence_set(&sentence, 1, "shorter"), 1);
        assert_string_equal(sentence.text, "shorter");
}

/* A sentence that is too long is cut, and nothing behind it is written to. */
static void test_long(void **state) {
        struct {
                Sentence sentence;
                char behind;
        } room = { .behind = 'x' };
        char text[1024];

        (void)state;
        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_int_equal(sentence_set(&room.sentence, -ENOSPC, "%s", text), -ENOSPC);
        assert_int_equal(strlen(room.sentence.text), sizeof room.sentence.text - 1);
        assert_int_equal(strspn(room.sentence.text, "a"), sizeof room.sentence.text - 1);
        assert_int_equal(room.behind, 'x');
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
