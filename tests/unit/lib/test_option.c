/* SPDX-License-Identifier: MIT */
/* The reading of a command line by a table of rows, for any program. */

#include "lib/option.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

typedef struct Values {
        bool flag;
        uint64_t number;
        int name;
        int taken;
} Values;

enum {
        WORDS = 8,
};

static const char *const names[] = { "red", "green", "blue" };

static int take_stop(OptionParse *parse, const OptionRow *row, const char *text) {
        (void)row;
        (void)text;
        ((Values *)parse->options)->taken++;
        return OPTION_DONE;
}

static int take_nothing(OptionParse *parse, const OptionRow *row, const char *text) {
        (void)row;
        (void)text;
        return failure_set(parse->failure, -EINVAL, "nothing is right");
}

static const OptionRow rows[] = {
        { "flag", "fF", false, option_take_flag, offsetof(Values, flag), .hint = "it is a flag" },
        { "number", "n", true, option_take_number, offsetof(Values, number), 2, 9, .unit = 10 },
        { "name", NULL, true, option_take_name, offsetof(Values, name), .maximum = COUNT(names),
          .names = names },
        { "nameless", NULL, false, option_take_flag, .offset = offsetof(Values, flag) },
        { "stop", "s", false, take_stop, .offset = 0 },
        { "wrong", "w", true, take_nothing, .offset = 0 },
};

static Values values;
static Failure failure;
static OptionParse parse;
static char *words[WORDS + 1];

/* Reads @line, words with a space between them. */
static int read_line(const char *line) {
        static char text[128];
        int count = 0;

        values = (Values){ .name = -1 };
        failure = (Failure){};
        parse = (OptionParse){
                .rows = rows, .count = COUNT(rows), .options = &values, .failure = &failure
        };
        assert_true((size_t)snprintf(text, sizeof text, "program %s", line) < sizeof text);
        for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
                assert_true(count < WORDS);
                words[count++] = word;
        }
        words[count] = NULL;
        return option_read(&parse, count, words);
}

/* Long and short names, joined and separate values set the same; the first word that is no option
 * has the returned index, wherever the options stand. */
static void test_names(void **state) {
        static const char *const lines[] = { "--flag --number=4 --name=blue x",
                                             "-f -n4 --name blue x", "-Fn4 --name=blue x",
                                             "x --number 4 --nameless --name=blue",
                                             "--fla --num=4 --name=blue x" };

        (void)state;
        for (size_t i = 0; i < COUNT(lines); i++) {
                int r = read_line(lines[i]);

                assert_string_equal(words[r], "x");
                assert_null(words[r + 1]);
                assert_true(values.flag);
                assert_int_equal(values.number, 40);
                assert_int_equal(values.name, 2);
        }
        assert_int_equal(read_line(""), 1);
        assert_int_equal(read_line("-f -- -n4"), 3);
        assert_int_equal(values.number, 0);
}

/* Exactly the rows of the line are given, under their long names. */
static void test_given(void **state) {
        (void)state;
        assert_int_equal(read_line("-F --name red"), 4);
        assert_true(option_is_given(&parse, "flag"));
        assert_true(option_is_given(&parse, "name"));
        assert_false(option_is_given(&parse, "number"));
        assert_false(option_is_given(&parse, "F"));
        assert_false(option_is_given(&parse, "unheard-of"));
}

/* A row that returns OPTION_DONE ends the reading: no later mistake counts. */
static void test_done(void **state) {
        (void)state;
        assert_int_equal(read_line("-s --number=none -s"), 0);
        assert_int_equal(values.taken, 1);
        assert_false(option_is_given(&parse, "number"));
}

/* A range includes both ends and nothing beyond. */
static void test_range(void **state) {
        (void)state;
        assert_int_equal(read_line("-n 2"), 3);
        assert_int_equal(values.number, 20);
        assert_int_equal(read_line("-n 9"), 3);
        assert_int_equal(values.number, 90);
        assert_int_equal(read_line("-n 1"), -EINVAL);
        assert_int_equal(read_line("-n 10"), -EINVAL);
        assert_int_equal(values.number, 0);
}

/* Each mistake has a sentence that names the option or the value. */
static void test_mistakes(void **state) {
        static const struct {
                const char *line, *sentence;
        } mistakes[] = {
                { "--number", "--number needs a value" },
                { "-fn", "-n needs a value" },
                { "--number=x", "--number takes a number from 2 to 9, not 'x'" },
                { "--name=rot", "--name takes red, green or blue, not 'rot'" },
                { "--flag=yes", "--flag takes no value: it is a flag" },
                { "--nameless=", "--nameless takes no value" },
                { "--n=4", "Unknown or ambiguous option '--n'" },
                { "--colour=red", "Unknown or ambiguous option '--colour'" },
                { "-fx", "Unknown option '-x'" },
                { "-\u00e9", "Unknown option '-\u00e9'" },
                { "x --flag -f -\u00e9 -n2", "Unknown option '-\u00e9'" },
                { "-flag", "'-flag' lacks a dash: write --flag" },
                { "-w1", "nothing is right" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(mistakes); i++) {
                assert_int_equal(read_line(mistakes[i].line), -EINVAL);
                assert_string_equal(failure.text, mistakes[i].sentence);
                assert_int_equal(failure.kind, FAILURE_LOCAL);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),    cmocka_unit_test(test_given),
                cmocka_unit_test(test_done),     cmocka_unit_test(test_range),
                cmocka_unit_test(test_mistakes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
