/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"
#include "client/range.h"
#include "client/target.h"
#include "lib/failure.h"

typedef struct ClientOptions ClientOptions;
typedef struct Threshold Threshold;
typedef enum ClientAction ClientAction;
typedef enum LoadKind LoadKind;

enum ClientAction {
        /* The plain mode: standard input there, what comes back to standard output. */
        CLIENT_RELAY,
        CLIENT_CHECK,
        CLIENT_PING,
        CLIENT_LOAD,
        CLIENT_HELP,
        CLIENT_VERSION,
};

enum LoadKind {
        /* Requests and their answers on connections that stay open. */
        LOAD_REQUESTS,
        /* Connections with one request each. */
        LOAD_CONNECTIONS,
        /* As many bytes as the connections carry. */
        LOAD_STREAMS,
};

/*
 * Where a monitoring plugin begins to complain.
 */
struct Threshold {
        /* Of the average round trip in milliseconds, and of the percentage of lost ones. */
        Range time;
        Range loss;
};

/*
 * What the command line asks for. Times are nanoseconds, sizes are bytes.
 */
struct ClientOptions {
        ClientAction action;
        /* The words of the command line behind the program's name, borrowed; NULL ends them. */
        char *const *arguments;
        /* Set unless help or the version is asked for. */
        Target target;
        ConnectionOptions connection;
        /* What was sent may take so long to come back; 0 for ever. */
        uint64_t timeout;

        /* Whether pictures and everything else that is not a result are unwanted. */
        bool quiet;
        bool no_progress;
        /* Whether the results are wanted as JSON, or as monitoring plugins give them. */
        bool json;
        bool monitor;

        /* Ping and load: the files that the histogram goes to, and is drawn to; NULL for none. */
        const char *csv;
        const char *hgrm;
        const char *plot;

        /* Check: the bytes to send. */
        uint64_t check_size;

        /* Check and streams: the bytes a second to send at most; 0 for no limit. */
        uint64_t bandwidth;

        /* Check and load: the time from one report to the next, 0 for none. Ping: the time from one
         * round trip to the next. */
        uint64_t interval;

        /* Ping: round trips to make, 0 for no limit; whether lines have the time of day, and
         * whether each round trip has a new connection. */
        uint64_t count;
        bool flood;
        bool timestamps;
        bool connect;
        /* Ping and load: nothing begins later; 0 for no limit. */
        uint64_t duration;
        /* Ping and load: the size of a message. */
        uint64_t size;
        /* Monitor: the thresholds, and the host. */
        Threshold warn;
        Threshold critical;
        const char *monitored;
        bool verbose;

        /* Load: how many connections at once; how many thousandths of a request or connection a
         * second, 0 for as many as are answered; and whether connections end by a reset. */
        LoadKind load;
        uint64_t connections;
        uint64_t rate;
        bool reset;
};

/*
 * client_options_parse: reads the command line @argv of @argc words (getopt_long(3): it is
 * reordered, and what the options refer to stays in it). Everything is checked that can be checked
 * without a connection. Behind the word --monitor the options are those of the monitoring plugin.
 *
 * Returns 0 and sets @ret_options, or -EINVAL and sets @ret_failure.
 */
int client_options_parse(int argc, char **argv, ClientOptions *ret_options, Failure *ret_failure);

/*
 * client_options_want_lines: whether each round trip is to have a line.
 */
bool client_options_want_lines(const ClientOptions *options);

/*
 * client_options_want_interims: whether there is to be a report for each interval.
 */
bool client_options_want_interims(const ClientOptions *options);

/*
 * client_options_want_progress: whether a line of progress is wanted where there is a terminal.
 */
bool client_options_want_progress(const ClientOptions *options);

/*
 * client_options_is_monitor: whether the command line @argv, right or wrong, is the one that
 * check_mpecho begins with --monitor: this plugin reports errors in its own way.
 */
bool client_options_is_monitor(char *const *argv);

/*
 * client_action_name: one word for the mode @action, for programs to read; a constant string.
 */
const char *client_action_name(ClientAction action);

/*
 * client_load_name: one word for @kind, as --kind takes it; a constant string.
 */
const char *client_load_name(LoadKind kind);
