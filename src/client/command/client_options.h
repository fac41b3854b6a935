/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/network/connection.h"
#include "client/network/resolve.h"
#include "client/value/range.h"
#include "lib/failure.h"

typedef enum ClientAction {
        /* Copies standard input to the service and the echo to standard output. */
        CLIENT_RELAY,
        CLIENT_CHECK,
        CLIENT_PING,
        CLIENT_LOAD,
        CLIENT_MTU,
        CLIENT_HELP,
        CLIENT_VERSION,
} ClientAction;

typedef enum LoadKind {
        LOAD_REQUESTS,    /* requests and their answers on connections that stay open */
        LOAD_CONNECTIONS, /* connections with one request each */
        LOAD_STREAMS,     /* as many bytes as the connections carry */
} LoadKind;

/* The limits beyond which the monitoring plugin alerts. */
typedef struct Threshold {
        /* Milliseconds of the mean round trip; percentage of lost round trips. */
        Range time;
        Range loss;
} Threshold;

/* The result of reading the command line. Times are nanoseconds, sizes are bytes. */
typedef struct ClientOptions {
        ClientAction action;
        char *const *arguments; /* the words after the program's name, borrowed; NULL ends them */
        /* Set unless help or the version is asked for. */
        Target target;
        ConnectionOptions connection;
        uint64_t timeout; /* the longest wait for the echo; 0 for no limit */

        /* Suppresses everything but results. */
        bool quiet;
        bool no_progress;
        /* The form of the results: JSON, or the line of a monitoring plugin. */
        bool json;
        bool monitor;

        /* Ping and load: the files for the histogram and for its drawing; NULL for none. */
        const char *csv;
        const char *hgrm;
        const char *plot;

        uint64_t check_size; /* check: the number of bytes to send */

        /* With datagrams (connection.datagram): sends no fragments; in a check, the size of each
         * datagram, 0 for the default. */
        bool dont_fragment;
        uint64_t length;

        uint64_t bandwidth; /* check and streams: bytes per second at most; 0 for no limit */

        /* Check and load: the time between reports, 0 for none. Ping: the time between round
         * trips. */
        uint64_t interval;

        /* Ping: the number of round trips, 0 for no limit; no pause between them; the time of day
         * in each line; a new connection for each. */
        uint64_t count;
        bool flood;
        bool timestamps;
        bool connect;
        /* Ping: the number of flows, 0 for none, and their first local port, 0 for any. */
        uint64_t flows;
        uint64_t source_port;
        uint64_t duration; /* ping and load: nothing begins after this time; 0 for no limit */
        /* Ping and load: the size of a message. With datagrams, the size of each in all modes. */
        uint64_t size;
        /* Monitor: the thresholds, the host, and --verbose, which has no effect. */
        Threshold warn;
        Threshold critical;
        const char *monitored;
        bool verbose;

        /* Load: the number of connections; thousandths of requests or connections per second, 0 for
         * as many as the service answers; and a reset instead of an orderly end. */
        LoadKind load;
        uint64_t connections;
        uint64_t rate;
        bool reset;
} ClientOptions;

/*
 * client_options_parse: Reads the command line @argv of @argc words with getopt_long(3), which
 * reorders it; the result borrows the words. Checks everything that needs no connection. After a
 * first word --monitor it expects the options of the monitoring plugin.
 *
 * Returns 0 and sets @ret_options, or -EINVAL and sets @ret_failure.
 */
int client_options_parse(int argc, char **argv, ClientOptions *ret_options, Failure *ret_failure);

/*
 * client_options_want_lines: Returns whether each round trip gets a line.
 *
 * client_options_want_interims: Returns whether each interval gets a report.
 *
 * client_options_want_progress: Returns whether a terminal gets a line of progress.
 *
 * client_options_is_monitor: Returns whether the command line @argv, valid or not, begins with the
 * word --monitor. check_mpecho passes it; this plugin reports errors in its own form.
 */
bool client_options_want_lines(const ClientOptions *options);
bool client_options_want_interims(const ClientOptions *options);
bool client_options_want_progress(const ClientOptions *options);
bool client_options_is_monitor(char *const *argv);

/*
 * client_action_name: Returns one word for the mode @action, for programs to read; a constant
 * string.
 *
 * client_load_name: Returns the word that --kind takes for @kind; a constant string.
 */
const char *client_action_name(ClientAction action);
const char *client_load_name(LoadKind kind);
