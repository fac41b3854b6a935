/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/failure.h"

typedef struct OptionRow OptionRow;
typedef struct OptionParse OptionParse;

enum {
        /* A table has at most this many rows. */
        OPTION_ROWS_MAXIMUM = 40,
};

/* Positive result of a row's take(): no further word of the command line counts. */
enum {
        OPTION_DONE = 1,
};

/*
 * One option of a program.
 */
struct OptionRow {
        /* Its long name. */
        const char *name;
        /* Its short names, NULL for none. */
        const char *letters;
        /* Whether a value follows. */
        bool valued;
        /*
         * Takes the value @text, NULL where none follows. Returns 0 or OPTION_DONE, or -EINVAL and
         * sets parse->failure.
         */
        int (*take)(OptionParse *parse, const OptionRow *row, const char *text);
        /* The place of the value in parse->options, and its range. */
        size_t offset;
        uint64_t minimum;
        uint64_t maximum;
        /* For option_take_number(): how many of the field's units a plain 1 is, 0 for 1. For
         * option_take_name(): the names, @maximum of them. */
        uint64_t unit;
        const char *const *names;
        /* The modes that know the option, as bits of the program's; 0 for all of them. */
        uint64_t modes;
        /* For an option without a value: half a sentence about the place of the value that people
         * give it all the same. */
        const char *hint;
};

/*
 * A command line that is being read.
 */
struct OptionParse {
        const OptionRow *rows;
        size_t count;
        /* The structure that the rows' offsets refer to. */
        void *options;
        Failure *failure;
        bool given[OPTION_ROWS_MAXIMUM];
};

/*
 * option_read: reads the command line @argv of @argc words with getopt_long(3), which reorders it,
 * and lets the rows take their values.
 *
 * Returns the index in @argv of the first word that is no option, 0 when a row said OPTION_DONE, or
 * -EINVAL with a sentence that names the wrong option or value.
 */
int option_read(OptionParse *parse, int argc, char **argv);

/*
 * option_is_given: whether the command line has the option @name.
 */
bool option_is_given(const OptionParse *parse, const char *name);

/*
 * option_field: the place of @row's value.
 */
void *option_field(const OptionParse *parse, const OptionRow *row);

/*
 * option_take_flag: sets a bool. option_take_number: reads a decimal number in the row's range into
 * a uint64_t, multiplied by the row's unit. option_take_name: sets an int to the index of the value
 * among the row's names.
 */
int option_take_flag(OptionParse *parse, const OptionRow *row, const char *text);
int option_take_number(OptionParse *parse, const OptionRow *row, const char *text);
int option_take_name(OptionParse *parse, const OptionRow *row, const char *text);
