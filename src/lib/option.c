/* SPDX-License-Identifier: MIT */
/*
 * Reads the command lines of both programs. A program describes its options in a table of rows.
 * option_read() translates the table for getopt_long(3), and calls the function of each row that it
 * finds. A row without a letter gets its index as the value that getopt_long(3) returns for it.
 *
 * getopt_long(3) prints nothing here: a mistake becomes one sentence that names the word, so that
 * the caller decides where it goes. It would read "-check" as the letter c with the value "heck";
 * so option_read() first rejects long names with one dash.
 *
 * Nothing here may print or exit, or know an option of one program.
 */
#include "lib/option.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"

enum {
        /* The first value that is not a letter. */
        OPTION_FIRST_VALUE = UINT8_MAX + 1,
        OPTION_LETTERS_SIZE = 4 * OPTION_ROWS_MAXIMUM + 2,
};

void *option_field(const OptionParse *parse, const OptionRow *row) {
        return (char *)parse->options + row->offset;
}

int option_reject(const OptionParse *parse, const OptionRow *row, const char *text,
                  const char *expected) {
        return failure_set(parse->failure, -EINVAL, "--%s takes %s, not '%s'", row->name, expected,
                           text);
}

int option_take_flag(OptionParse *parse, const OptionRow *row, const char *text) {
        (void)text;
        *(bool *)option_field(parse, row) = true;
        return 0;
}

int option_take_number(OptionParse *parse, const OptionRow *row, const char *text) {
        uint64_t number;
        char expected[80];

        snprintf(expected, sizeof expected, "a number from %" PRIu64 " to %" PRIu64, row->minimum,
                 row->maximum);
        if (number_parse(text, row->minimum, row->maximum, &number) < 0)
                return option_reject(parse, row, text, expected);
        *(uint64_t *)option_field(parse, row) = number * (row->unit == 0 ? 1 : row->unit);
        return 0;
}

int option_take_name(OptionParse *parse, const OptionRow *row, const char *text) {
        const int last = (int)row->maximum - 1;
        char list[80] = "";

        for (int i = 0; i <= last; i++) {
                const char *separator = i == last ? " or " : ", ";

                if (strcmp(text, row->names[i]) == 0) {
                        *(int *)option_field(parse, row) = i;
                        return 0;
                }
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                         i == 0 ? "" : separator, row->names[i]);
        }
        return option_reject(parse, row, text, list);
}

static void option_describe(const OptionParse *parse,
                            struct option longs[static OPTION_ROWS_MAXIMUM + 1],
                            char letters[static OPTION_LETTERS_SIZE]) {
        *letters++ = ':';
        for (size_t i = 0; i < parse->count; i++) {
                const OptionRow *row = &parse->rows[i];
                const char *letter = row->letters == NULL ? "" : row->letters;

                longs[i] = (struct option){ row->name,
                                            row->valued ? required_argument : no_argument, NULL,
                                            OPTION_FIRST_VALUE + (int)i };
                for (; *letter != '\0'; letter++) {
                        *letters++ = *letter;
                        if (row->valued)
                                *letters++ = ':';
                }
        }
        longs[parse->count] = (struct option){};
        *letters = '\0';
}

/* Returns the row that getopt_long(3) calls @found, NULL for none. */
static const OptionRow *option_find(const OptionParse *parse, int found) {
        if (found >= OPTION_FIRST_VALUE)
                return &parse->rows[found - OPTION_FIRST_VALUE];
        for (size_t i = 0; i < parse->count; i++)
                if (parse->rows[i].letters != NULL && strchr(parse->rows[i].letters, found) != NULL)
                        return &parse->rows[i];
        return NULL;
}

/* Names the option of the byte @letter in @text. A character beyond ASCII has several bytes, so
 * this returns the whole word then. */
static const char *option_name_letter(int letter, char *const *argv, char *text, size_t size) {
        for (; !isgraph(letter) && *argv != NULL; argv++)
                if ((*argv)[0] == '-' && (*argv)[1] != '-' && strchr(*argv, letter) != NULL)
                        return *argv;
        snprintf(text, size, "-%c", letter);
        return text;
}

/* Explains the error of getopt_long(3) in the word before optind. */
static int option_refuse(const OptionParse *parse, int found, int argc, char **argv) {
        const char *last = argv[argc - 1], *word = argv[optind - 1];
        const int length = (int)strcspn(word, "=");
        const OptionRow *row;
        char text[sizeof "-c"];

        /* Only the last word can lack its value. */
        if (found == ':' && strncmp(last, "--", 2) == 0)
                return failure_set(parse->failure, -EINVAL, "%s needs a value", last);
        if (found == ':')
                return failure_set(parse->failure, -EINVAL, "-%c needs a value", optopt);
        if (optopt == 0)
                return failure_set(parse->failure, -EINVAL, "Unknown or ambiguous option '%.*s'",
                                   length, word);
        row = option_find(parse, optopt);
        if (row == NULL)
                return failure_set(parse->failure, -EINVAL, "Unknown option '%s'",
                                   option_name_letter((unsigned char)optopt, argv + 1, text,
                                                      sizeof text));
        return failure_set(parse->failure, -EINVAL, "%.*s takes no value%s%s", length, word,
                           row->hint == NULL ? "" : ": ", row->hint == NULL ? "" : row->hint);
}

/* Rejects "-name", which getopt_long(3) would read as letters. */
static int option_check_dashes(const OptionParse *parse, char *const *argv) {
        for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
                for (size_t i = 0; i < parse->count && (*argv)[0] == '-'; i++)
                        if (strcmp(*argv + 1, parse->rows[i].name) == 0)
                                return failure_set(parse->failure, -EINVAL,
                                                   "'%s' lacks a dash: write --%s", *argv,
                                                   parse->rows[i].name);
        return 0;
}

int option_read(OptionParse *parse, int argc, char **argv) {
        struct option longs[OPTION_ROWS_MAXIMUM + 1];
        char letters[OPTION_LETTERS_SIZE];
        int found, r;

        assert(parse->count <= OPTION_ROWS_MAXIMUM);
        option_describe(parse, longs, letters);
        r = option_check_dashes(parse, argv + 1);
        if (r < 0)
                return r;

        /* 0 makes getopt_long(3) start at the front, and forget an earlier command line. */
        optind = 0;
        opterr = 0;
        while ((found = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
                const OptionRow *row;

                if (found == '?' || found == ':')
                        return option_refuse(parse, found, argc, argv);
                row = option_find(parse, found);
                assert(row != NULL);
                parse->given[row - parse->rows] = true;
                r = row->take(parse, row, optarg);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return optind;
}

bool option_is_given(const OptionParse *parse, const char *name) {
        for (size_t i = 0; i < parse->count; i++)
                if (strcmp(parse->rows[i].name, name) == 0)
                        return parse->given[i];
        return false;
}
