/* SPDX-License-Identifier: MIT */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/client_options.h"

typedef struct ClientRow ClientRow;
typedef struct ClientParse ClientParse;

/*
 * The client's options: one row for each, and what each does with its value.
 */
struct ClientRow {
        const char *name;
        /* 0 for none. */
        char letter;
        /* As in struct option, getopt_long(3). */
        int argument;
        /*
         * Takes the value @text, which is NULL where there is none. Returns 0, or -EINVAL and sets
         * parse->failure.
         */
        int (*take)(ClientParse *parse, const ClientRow *row, const char *text);
        /* Where in ClientOptions the value goes, and its range. */
        size_t offset;
        uint64_t minimum;
        uint64_t maximum;
        /* The modes that know it, as bits; 0 for all of them. */
        unsigned modes;
};

enum {
        CLIENT_ROWS = 26,
};

extern const ClientRow client_rows[CLIENT_ROWS];

/*
 * What the command line has said so far.
 */
struct ClientParse {
        ClientOptions options;
        Failure *failure;
        bool given[CLIENT_ROWS];
};

/*
 * client_rows_take_port: takes @text as the port; @row is of no matter.
 */
int client_rows_take_port(ClientParse *parse, const ClientRow *row, const char *text);

/*
 * client_rows_find: the number of the row of the option @name, which must exist.
 */
int client_rows_find(const char *name);
