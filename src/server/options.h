/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "report/journal.h"

#include "lib/failure.h"

typedef struct Options Options;

/*
 * What mpecho's command line says.
 */
struct Options {
        char **listen; /* the LISTEN arguments as given, in argv */
        uint32_t n_listen;
        uint64_t max_connections; /* 1 to 65536 */
        uint64_t max_per_source;  /* 1 to 65536; 0 for no limit */
        uint64_t idle_timeout;    /* 1 to 86400 seconds; 0 for never */
        uint64_t exit_idle;       /* 1 to 86400 seconds; 0 for never */
        LogTarget log;
        int log_empty; /* the level of connections that echo nothing */
        int log_level; /* LOG_EMERG to LOG_DEBUG, syslog(3) */
        int question;  /* OPTIONS_RUN, _HELP, _VERSION or _TEST: what options_parse() returns */
};

/* Positive results of options_parse(). */
enum {
        OPTIONS_RUN = 1,
        OPTIONS_TEST,
        OPTIONS_HELP,
        OPTIONS_VERSION,
};

/* A positive result of functions that look at how somebody started mpecho: it is wrong. */
enum {
        WRONG_USAGE = 1,
};

/*
 * options_parse: reads the command line.
 *
 * Sets @ret_options, which points into @argv. Returns OPTIONS_RUN; OPTIONS_TEST, OPTIONS_HELP or
 * OPTIONS_VERSION when asked for these; -EINVAL when an option or its value is wrong, with the
 * reason in @ret_failure and what was read before in @ret_options.
 */
int options_parse(int argc, char **argv, Options *ret_options, Failure *ret_failure);

/*
 * options_help: what --help prints, a constant string.
 */
const char *options_help(void);
