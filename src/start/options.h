/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "lib/failure.h"
#include "report/journal.h"
#include "start/network.h"

/* The command line of mpecho. */
typedef struct Options {
        char **listen; /* the LISTEN arguments, in argv */
        uint32_t n_listen;
        uint64_t max_connections;          /* 1 to 65536 */
        uint64_t max_per_source;           /* 1 to 65536; 0 for no limit */
        uint64_t max_datagrams_per_source; /* a second, 1 to 1000000; 0 for no limit */
        uint64_t idle_timeout;             /* up to 86400 seconds; 0 for never */
        uint64_t exit_idle;                /* up to 86400 seconds; 0 for never */
        Networks proxy_from;               /* whose PROXY headers are believed */
        LogTarget log;
        int log_empty; /* the level of connections that echo nothing */
        int log_level; /* LOG_EMERG to LOG_DEBUG, syslog(3) */
        int question;  /* the result of options_parse() */
} Options;

/* Positive results of options_parse(). */
enum {
        OPTIONS_RUN = 1,
        OPTIONS_TEST,
        OPTIONS_HELP,
        OPTIONS_VERSION,
};

/* A positive result of functions that check how mpecho was started: exit status 2. */
enum {
        WRONG_USAGE = 1,
};

/*
 * options_parse: Reads the command line into @ret_options, which points into @argv.
 *
 * Returns OPTIONS_RUN; OPTIONS_TEST, OPTIONS_HELP or OPTIONS_VERSION for these options; -EINVAL
 * when an option or its value is wrong, with the reason in @ret_failure and the options before it
 * in @ret_options.
 */
int options_parse(int argc, char **argv, Options *ret_options, Failure *ret_failure);

/* options_help: Returns the text of --help, a constant string. */
const char *options_help(void);
