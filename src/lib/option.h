/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/failure.h"

typedef struct OptionRow OptionRow;
typedef struct OptionParse OptionParse;

enum {
        /* Rows of a table at most. */
        OPTION_ROWS_MAXIMUM = 64,
};

/* Result of a row's take() that ends the reading: no further word counts. */
enum {
        OPTION_DONE = 1,
};

/* One option of a program. */
struct OptionRow {
        const char *name;    /* the long name, without dashes */
        const char *letters; /* the short names, or NULL */
        bool valued;         /* a value follows */
        /* Takes the value @text; NULL if none follows. Returns 0 or OPTION_DONE; or -EINVAL and
         * sets parse->failure. */
        int (*take)(OptionParse *parse, const OptionRow *row, const char *text);
        /* The offset of the value in parse->options, and its range. */
        size_t offset;
        uint64_t minimum;
        uint64_t maximum;
        uint64_t unit;            /* option_take_number() multiplies by it; 0 for 1 */
        const char *const *names; /* for option_take_name(), @maximum of them */
        uint64_t tags;            /* for the program alone: option_read() does not read them */
        const char *hint;         /* half a sentence for users who give it a value; or NULL */
};

/* The reading of one command line. */
struct OptionParse {
        const OptionRow *rows;
        size_t count;
        void *options; /* the structure of the rows' offsets */
        Failure *failure;
        bool given[OPTION_ROWS_MAXIMUM];
};

/*
 * option_read: Reads the command line @argv of @argc words with getopt_long(3), which reorders it,
 * and calls take() of each row that it finds.
 *
 * Returns the index in @argv of the first word that is no option; 0 after a row returned
 * OPTION_DONE; or -EINVAL and sets parse->failure to a sentence that names the wrong option or
 * value.
 */
int option_read(OptionParse *parse, int argc, char **argv);

/*
 * option_is_given: Returns whether the command line has the option @name.
 *
 * option_field: Returns the address of the value of @row.
 *
 * option_reject: Sets parse->failure: @row does not take @text, but @expected. Returns -EINVAL.
 */
bool option_is_given(const OptionParse *parse, const char *name);
void *option_field(const OptionParse *parse, const OptionRow *row);
int option_reject(const OptionParse *parse, const OptionRow *row, const char *text,
                  const char *expected);

/*
 * The functions for take() that both programs use.
 *
 * option_take_flag: Sets a bool. option_take_number: Parses a decimal number in the range of the
 * row and sets a uint64_t to it, multiplied by the unit. option_take_name: Sets an int to the index
 * of the value among the names of the row.
 */
int option_take_flag(OptionParse *parse, const OptionRow *row, const char *text);
int option_take_number(OptionParse *parse, const OptionRow *row, const char *text);
int option_take_name(OptionParse *parse, const OptionRow *row, const char *text);
