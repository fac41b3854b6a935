/* SPDX-License-Identifier: MIT */
/*
 * The tables of the client's options, and the functions that parse their values.
 *
 * A row names an option, its range and its place in ClientOptions. A function here checks one value
 * alone; client_options.c checks combinations and sets the defaults that depend on the mode. The
 * two programs, the client and the monitoring plugin, have a table each and share the functions.
 *
 * An error message names the option, its range with an example, and the wrong value.
 *
 * A function here must never look at another option, since the user chooses the order.
 */
#include "client/command/client_rows.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "client/command/client_options.h"
#include "client/content/payload.h"
#include "client/value/judgement.h"
#include "client/value/pace.h"
#include "client/value/quantity.h"
#include "client/value/schedule.h"
#include "lib/clock.h"
#include "lib/number.h"

enum {
        FOR_CHECK = 1 << CLIENT_CHECK,
        FOR_PING = 1 << CLIENT_PING,
        FOR_LOAD = 1 << CLIENT_LOAD,
        FOR_MTU = 1 << CLIENT_MTU,
        DSCP_MAXIMUM = 63,
        TTL_MAXIMUM = 255,
};

#define CLIENT_TIME_MAXIMUM        (86400 * CLOCK_SECOND)
#define CLIENT_SIZE_MAXIMUM        ((uint64_t)1 << 50)
#define CLIENT_CONNECTIONS_MAXIMUM ((uint64_t)65536)
#define CLIENT_RATE_MAXIMUM        (SCHEDULE_UNIT * (uint64_t)10000000)

static_assert(CLIENT_SIZE_MAXIMUM <= PACE_MOST && CLIENT_RATE_MAXIMUM <= PACE_MOST,
              "each --bandwidth and --rate is a pace");

static ClientOptions *client_options(const OptionParse *parse) {
        return parse->options;
}

static int client_take_file(OptionParse *parse, const OptionRow *row, const char *text) {
        if (text[0] == '\0')
                return failure_set(parse->failure, -EINVAL, "--%s takes the name of a file",
                                   row->name);
        *(const char **)option_field(parse, row) = text;
        return 0;
}

/* The name says the format. */
static int client_take_picture(OptionParse *parse, const OptionRow *row, const char *text) {
        const char *dot = strrchr(text, '.');

        if (dot == NULL || dot == text || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0))
                return option_reject(parse, row, text,
                                     "the name of a file that ends in .svg or .png");
        return client_take_file(parse, row, text);
}

static int client_take_size(OptionParse *parse, const OptionRow *row, const char *text) {
        char most[QUANTITY_TEXT_SIZE], expected[128];

        if (quantity_parse_size(text, row->minimum, row->maximum, option_field(parse, row)) == 0)
                return 0;
        snprintf(expected, sizeof expected,
                 "a number of bytes from %" PRIu64 " to %s, as 512, 64K or 1.5M", row->minimum,
                 quantity_format_bytes((double)row->maximum, most));
        return option_reject(parse, row, text, expected);
}

static int client_take_time(OptionParse *parse, const OptionRow *row, const char *text) {
        char least[QUANTITY_TEXT_SIZE], most[QUANTITY_TEXT_SIZE], expected[128];

        if (quantity_parse_time(text, CLOCK_SECOND, row->minimum, row->maximum,
                                option_field(parse, row)) == 0)
                return 0;
        snprintf(expected, sizeof expected, "a time from %s to %s seconds, as 2, 0.5, 200ms or 1m",
                 quantity_format_time(row->minimum, least),
                 quantity_format_time(row->maximum, most));
        return option_reject(parse, row, text, expected);
}

/* Takes "RTA[,PL%]", as check_icmp does: a range of milliseconds, and one of a percentage of lost
 * round trips. */
static int client_take_threshold(OptionParse *parse, const OptionRow *row, const char *text) {
        Threshold *threshold = option_field(parse, row);
        const char *comma = strchrnul(text, ',');
        size_t length = strlen(comma);
        int r;

        r = range_parse(text, (size_t)(comma - text), &threshold->time);
        if (r == 0 && length > 0)
                r = comma[length - 1] == '%' ? range_parse(comma + 1, length - 2, &threshold->loss)
                                             : -EINVAL;
        if (r == 0 && isfinite(threshold->loss.end) && threshold->loss.end > 100)
                r = -EINVAL;
        if (r < 0)
                return option_reject(parse, row, text,
                                     "a range of milliseconds and maybe one of loss, as 100 or "
                                     "100,20%");
        return 0;
}

static int client_take_host(OptionParse *parse, const OptionRow *row, const char *text) {
        *(const char **)option_field(parse, row) = text;
        return 0;
}

static int client_take_rate(OptionParse *parse, const OptionRow *row, const char *text) {
        if (quantity_parse_rate(text, SCHEDULE_UNIT, row->minimum, row->maximum,
                                option_field(parse, row)) < 0)
                return option_reject(parse, row, text,
                                     "a number from 0.001 to 10M, as 500, 0.5 or 10k");
        return 0;
}

static int client_take_bandwidth(OptionParse *parse, const OptionRow *row, const char *text) {
        if (quantity_parse_bandwidth(text, row->minimum, row->maximum, option_field(parse, row)) <
            0)
                return option_reject(parse, row, text,
                                     "bytes per second, as 512K, 1.5M or 100Mbit");
        return 0;
}

static int client_take_mode(OptionParse *parse, const OptionRow *row, const char *text) {
        ClientOptions *options = client_options(parse);

        (void)text;
        if (options->action != CLIENT_RELAY)
                return failure_set(parse->failure, -EINVAL,
                                   "--%s cannot be combined with another mode", row->name);
        for (options->action = CLIENT_CHECK;
             strcmp(client_action_name(options->action), row->name) != 0; options->action++)
                ;
        return 0;
}

static int client_parse_port(const char *text, in_port_t *ret_port, Failure *failure) {
        const struct servent *service;
        uint64_t port;

        if (number_parse(text, 1, UINT16_MAX, &port) == 0) {
                *ret_port = (in_port_t)port;
                return 0;
        }
        /* A digit in front means a number. */
        service = isdigit((unsigned char)text[0]) ? NULL : getservbyname(text, "tcp");
        if (service == NULL)
                return failure_set(failure, -EINVAL,
                                   "A port is a number from 1 to 65535 or the name of a TCP "
                                   "service, not '%s'",
                                   text);
        *ret_port = ntohs((in_port_t)service->s_port);
        return 0;
}

int client_rows_take_port(OptionParse *parse, const OptionRow *row, const char *text) {
        Target *target = &client_options(parse)->target;

        (void)row;
        if (target->port != 0)
                return failure_set(parse->failure, -EINVAL,
                                   "Cannot use port '%s': a port is already given", text);
        return client_parse_port(text, &target->port, parse->failure);
}

static int client_take_family(OptionParse *parse, const OptionRow *row, const char *text) {
        int family = row->letters[0] == '4' ? AF_INET : AF_INET6;
        Target *target = &client_options(parse)->target;

        (void)text;
        if (target->family != AF_UNSPEC && target->family != family)
                return failure_set(parse->failure, -EINVAL, "-4 and -6 cannot be combined");
        target->family = family;
        return 0;
}

/* An address of this machine, or else the name of an interface. */
static int client_take_source(OptionParse *parse, const OptionRow *row, const char *text) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
        ConnectionOptions *connection = &client_options(parse)->connection;
        struct addrinfo *result;
        Endpoint source = {};

        if (if_nametoindex(text) != 0) {
                snprintf(connection->device, sizeof connection->device, "%s", text);
                return 0;
        }
        if (getaddrinfo(text, NULL, &hints, &result) != 0)
                return option_reject(parse, row, text, "an IPv4 or IPv6 address or an interface");
        source.length = result->ai_addrlen;
        memcpy(&source, result->ai_addr, result->ai_addrlen);
        freeaddrinfo(result);
        connection->source = source;
        return 0;
}

static int client_take_proxy_header(OptionParse *parse, const OptionRow *row, const char *text) {
        if (proxy_header_parse(text, option_field(parse, row)) < 0)
                return option_reject(parse, row, text,
                                     "1, 2 or another form of mpecho-client(1), maybe with two "
                                     "addresses, as 2,192.0.2.7:51234,192.0.2.1:7");
        return 0;
}

static int client_take_question(OptionParse *parse, const OptionRow *row, const char *text) {
        (void)text;
        client_options(parse)->action = row->letters[0] == 'h' ? CLIENT_HELP : CLIENT_VERSION;
        return OPTION_DONE;
}

static const char *const load_names[] = {
        [LOAD_REQUESTS] = "requests",
        [LOAD_CONNECTIONS] = "connections",
        [LOAD_STREAMS] = "streams",
};

const char *client_load_name(LoadKind kind) {
        return load_names[kind];
}

#define FIELD(member)   .offset = offsetof(ClientOptions, member)
#define RANGE(from, to) .minimum = (from), .maximum = (to)

/* clang-format off */
const OptionRow client_rows[] = {
        { "check", NULL, false, client_take_mode, FIELD(action), .hint = "its size is -s SIZE" },
        { "ping", NULL, false, client_take_mode, FIELD(action),
          .hint = "the number of round trips is -c COUNT" },
        { "load", NULL, false, client_take_mode, FIELD(action), .hint = "its kind is -k KIND" },

        { "mtu", NULL, false, client_take_mode, FIELD(action), .hint = "it finds the size" },

        { "udp", NULL, false, option_take_flag, FIELD(connection.datagram),
          .tags = FOR_CHECK | FOR_PING | FOR_LOAD | FOR_MTU },
        { "dont-fragment", NULL, false, option_take_flag, FIELD(dont_fragment),
          .tags = FOR_CHECK | FOR_PING | FOR_LOAD },
        { "length", "l", true, client_take_size, FIELD(length), RANGE(1, PAYLOAD_SIZE_MAXIMUM),
          .tags = FOR_CHECK },

        { "count", "c", true, option_take_number, FIELD(count), RANGE(1, UINT32_MAX),
          .tags = FOR_PING },
        { "interval", "i", true, client_take_time, FIELD(interval),
          RANGE(CLOCK_MILLISECOND, CLIENT_TIME_MAXIMUM),
          .tags = FOR_CHECK | FOR_PING | FOR_LOAD },
        { "flood", "f", false, option_take_flag, FIELD(flood), .tags = FOR_PING },
        { "timestamps", "D", false, option_take_flag, FIELD(timestamps), .tags = FOR_PING },
        { "connect", NULL, false, option_take_flag, FIELD(connect), .tags = FOR_PING },
        { "flows", NULL, true, option_take_number, FIELD(flows), RANGE(2, JUDGEMENT_FLOWS_MAXIMUM),
          .tags = FOR_PING },
        { "source-port", NULL, true, option_take_number, FIELD(source_port), RANGE(1, UINT16_MAX),
          .tags = FOR_PING },
        { "size", "s", true, client_take_size, FIELD(size), RANGE(0, CLIENT_SIZE_MAXIMUM),
          .tags = FOR_CHECK | FOR_PING | FOR_LOAD },
        { "duration", "wt", true, client_take_time, FIELD(duration),
          RANGE(CLOCK_MILLISECOND, CLIENT_TIME_MAXIMUM), .tags = FOR_PING | FOR_LOAD },

        { "kind", "k", true, option_take_name, FIELD(load), .names = load_names, .maximum = 3,
          .tags = FOR_LOAD },
        { "connections", "P", true, option_take_number, FIELD(connections),
          RANGE(1, CLIENT_CONNECTIONS_MAXIMUM), .tags = FOR_LOAD },
        { "rate", "R", true, client_take_rate, FIELD(rate), RANGE(1, CLIENT_RATE_MAXIMUM),
          .tags = FOR_LOAD },
        { "reset", NULL, false, option_take_flag, FIELD(reset), .tags = FOR_LOAD },
        { "bandwidth", "b", true, client_take_bandwidth, FIELD(bandwidth),
          RANGE(1, CLIENT_SIZE_MAXIMUM), .tags = FOR_CHECK | FOR_LOAD },

        { "port", "p", true, client_rows_take_port, FIELD(target) },
        { "ipv4", "4", false, client_take_family, FIELD(target) },
        { "ipv6", "6", false, client_take_family, FIELD(target) },
        { "source", "I", true, client_take_source, FIELD(connection) },
        { "dscp", NULL, true, option_take_number, FIELD(connection.dscp), RANGE(0, DSCP_MAXIMUM) },
        { "ttl", NULL, true, option_take_number, FIELD(connection.ttl), RANGE(1, TTL_MAXIMUM) },
        { "mptcp", NULL, false, option_take_flag, FIELD(connection.mptcp) },
        { "proxy-protocol", NULL, true, client_take_proxy_header, FIELD(connection.proxy_header) },
        { "connect-timeout", NULL, true, client_take_time, FIELD(connection.timeout),
          RANGE(0, CLIENT_TIME_MAXIMUM) },
        { "timeout", "W", true, client_take_time, FIELD(timeout), RANGE(0, CLIENT_TIME_MAXIMUM) },

        { "json", "J", false, option_take_flag, FIELD(json) },
        { "csv", NULL, true, client_take_file, FIELD(csv), .tags = FOR_PING | FOR_LOAD },
        { "hgrm", NULL, true, client_take_file, FIELD(hgrm), .tags = FOR_PING | FOR_LOAD },
        { "plot", NULL, true, client_take_picture, FIELD(plot), .tags = FOR_PING | FOR_LOAD },
        { "quiet", "q", false, option_take_flag, FIELD(quiet) },
        { "verbose", "v", false, option_take_flag, FIELD(connection.verbose) },
        { "no-progress", NULL, false, option_take_flag, FIELD(no_progress) },
        { "help", "h", false, client_take_question, FIELD(action) },
        { "version", "V", false, client_take_question, FIELD(action) },
};

/* The letters are those of the monitoring plugins' guidelines. */
const OptionRow monitor_rows[] = {
        { "hostname", "H", true, client_take_host, FIELD(monitored) },
        { "port", "p", true, client_rows_take_port, FIELD(target) },
        { "warning", "w", true, client_take_threshold, FIELD(warn) },
        { "critical", "c", true, client_take_threshold, FIELD(critical) },
        { "timeout", "t", true, client_take_time, FIELD(duration),
          RANGE(CLOCK_MILLISECOND, CLIENT_TIME_MAXIMUM) },
        { "count", "n", true, option_take_number, FIELD(count), RANGE(1, UINT32_MAX) },
        { "interval", "i", true, client_take_time, FIELD(interval),
          RANGE(CLOCK_MILLISECOND, CLIENT_TIME_MAXIMUM) },
        { "connect", NULL, false, option_take_flag, FIELD(connect) },
        { "udp", NULL, false, option_take_flag, FIELD(connection.datagram) },
        { "ipv4", "4", false, client_take_family, FIELD(target) },
        { "ipv6", "6", false, client_take_family, FIELD(target) },
        { "source", "I", true, client_take_source, FIELD(connection) },
        { "verbose", "v", false, option_take_flag, FIELD(verbose) },
        { "help", "h", false, client_take_question, FIELD(action) },
        { "version", "V", false, client_take_question, FIELD(action) },
};
/* clang-format on */

const size_t client_rows_count = sizeof client_rows / sizeof client_rows[0];
const size_t monitor_rows_count = sizeof monitor_rows / sizeof monitor_rows[0];
