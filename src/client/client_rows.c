/* SPDX-License-Identifier: MIT */
#include "client/client_rows.h"

#include <errno.h>
#include <string.h>

#include "client/client_values.h"
#include "client/instant.h"

enum {
        FOR_PING = 1 << CLIENT_PING,
        FOR_LOAD = 1 << CLIENT_LOAD,
};

#define CLIENT_TIME_MAXIMUM        (86400 * INSTANT_SECOND)
#define CLIENT_CHECK_MAXIMUM       ((uint64_t)1 << 50)
#define CLIENT_CONNECTIONS_MAXIMUM ((uint64_t)65536)
#define CLIENT_RATE_MAXIMUM        ((uint64_t)10000000)
#define CLIENT_MESSAGE_MAXIMUM     ((uint64_t)16 << 20)

static void *client_field(ClientParse *parse, const ClientRow *row) {
        return (char *)&parse->options + row->offset;
}

static int client_take_flag(ClientParse *parse, const ClientRow *row, const char *text) {
        (void)text;
        *(bool *)client_field(parse, row) = true;
        return 0;
}

static int client_take_file(ClientParse *parse, const ClientRow *row, const char *text) {
        if (text[0] == '\0')
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes the name of a file", row->name);
        *(const char **)client_field(parse, row) = text;
        return 0;
}

/* The name says the format. */
static int client_take_picture(ClientParse *parse, const ClientRow *row, const char *text) {
        const char *dot = strrchr(text, '.');

        if (dot == NULL || dot == text || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0))
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--%s takes the name of a file that ends in .svg or .png, not "
                                   "'%s'",
                                   row->name, text);
        return client_take_file(parse, row, text);
}

static int client_take_size(ClientParse *parse, const ClientRow *row, const char *text) {
        return client_values_parse_size(row->name, text, row->minimum, row->maximum,
                                        client_field(parse, row), parse->failure);
}

static int client_take_seconds(ClientParse *parse, const ClientRow *row, const char *text) {
        return client_values_parse_seconds(row->name, text, row->minimum, row->maximum,
                                           client_field(parse, row), parse->failure);
}

static int client_take_threshold(ClientParse *parse, const ClientRow *row, const char *text) {
        parse->options.monitor = true;
        return client_values_parse_milliseconds(row->name, text, row->minimum, row->maximum,
                                                client_field(parse, row), parse->failure);
}

static int client_take_number(ClientParse *parse, const ClientRow *row, const char *text) {
        return client_values_parse_number(row->name, text, row->minimum, row->maximum,
                                          client_field(parse, row), parse->failure);
}

static int client_set_action(ClientParse *parse, const ClientRow *row, ClientAction action) {
        if (parse->options.action != CLIENT_RELAY)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--%s is a second mode, and there can be only one", row->name);
        parse->options.action = action;
        return 0;
}

static int client_take_check(ClientParse *parse, const ClientRow *row, const char *text) {
        int r = client_set_action(parse, row, CLIENT_CHECK);

        return r < 0 || text == NULL ? r : client_take_size(parse, row, text);
}

static int client_take_ping(ClientParse *parse, const ClientRow *row, const char *text) {
        int r = client_set_action(parse, row, CLIENT_PING);

        return r < 0 || text == NULL ? r : client_take_number(parse, row, text);
}

static int client_take_load(ClientParse *parse, const ClientRow *row, const char *text) {
        LoadKind kind = LOAD_REQUESTS;
        int r = client_set_action(parse, row, CLIENT_LOAD);

        if (r < 0 || text == NULL)
                return r;
        while (kind <= LOAD_STREAMS && strcmp(text, client_load_name(kind)) != 0)
                kind++;
        if (kind > LOAD_STREAMS)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--load takes requests, connections or streams, not '%s'", text);
        parse->options.load = kind;
        return 0;
}

int client_rows_take_port(ClientParse *parse, const ClientRow *row, const char *text) {
        Target *target = &parse->options.target;

        (void)row;
        if (target->port != 0)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "the port is given twice, the second time as '%s'", text);
        return client_values_parse_port(text, &target->port, parse->failure);
}

static int client_take_family(ClientParse *parse, const ClientRow *row, const char *text) {
        int family = row->letter == '4' ? AF_INET : AF_INET6;
        Target *target = &parse->options.target;

        (void)text;
        if (target->family != AF_UNSPEC && target->family != family)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "-4 and -6 exclude each other");
        target->family = family;
        return 0;
}

static int client_take_source(ClientParse *parse, const ClientRow *row, const char *text) {
        (void)row;
        return client_values_parse_source(text, &parse->options.connection.source, parse->failure);
}

static int client_take_action(ClientParse *parse, const ClientRow *row, const char *text) {
        (void)text;
        parse->options.action = row->letter == 'h' ? CLIENT_HELP : CLIENT_VERSION;
        return 0;
}

#define FIELD(member) offsetof(ClientOptions, member)

const ClientRow client_rows[CLIENT_ROWS] = {
        { "check", 0, optional_argument, client_take_check, FIELD(check_size), 1,
          CLIENT_CHECK_MAXIMUM, 0 },
        { "ping", 0, optional_argument, client_take_ping, FIELD(count), 1, UINT32_MAX, 0 },
        { "load", 0, optional_argument, client_take_load, 0, 0, 0, 0 },
        { "interval", 0, required_argument, client_take_seconds, FIELD(interval),
          INSTANT_MILLISECOND, CLIENT_TIME_MAXIMUM, FOR_PING },
        { "flood", 0, no_argument, client_take_flag, FIELD(flood), 0, 0, FOR_PING },
        { "size", 0, required_argument, client_take_size, FIELD(size), 1, CLIENT_MESSAGE_MAXIMUM,
          FOR_PING | FOR_LOAD },
        { "deadline", 0, required_argument, client_take_seconds, FIELD(deadline),
          INSTANT_MILLISECOND, CLIENT_TIME_MAXIMUM, FOR_PING },
        { "connect", 0, no_argument, client_take_flag, FIELD(connect), 0, 0, FOR_PING },
        { "warn", 0, required_argument, client_take_threshold, FIELD(warn), 1, CLIENT_TIME_MAXIMUM,
          FOR_PING },
        { "critical", 0, required_argument, client_take_threshold, FIELD(critical), 1,
          CLIENT_TIME_MAXIMUM, FOR_PING },
        { "connections", 0, required_argument, client_take_number, FIELD(connections), 1,
          CLIENT_CONNECTIONS_MAXIMUM, FOR_LOAD },
        { "duration", 0, required_argument, client_take_seconds, FIELD(duration),
          INSTANT_MILLISECOND, CLIENT_TIME_MAXIMUM, FOR_LOAD },
        { "rate", 0, required_argument, client_take_number, FIELD(rate), 1, CLIENT_RATE_MAXIMUM,
          FOR_LOAD },
        { "csv", 0, required_argument, client_take_file, FIELD(csv), 0, 0, FOR_PING | FOR_LOAD },
        { "plot", 0, required_argument, client_take_picture, FIELD(plot), 0, 0,
          FOR_PING | FOR_LOAD },
        { "port", 'p', required_argument, client_rows_take_port, 0, 0, 0, 0 },
        { "ipv4", '4', no_argument, client_take_family, 0, 0, 0, 0 },
        { "ipv6", '6', no_argument, client_take_family, 0, 0, 0, 0 },
        { "source", 0, required_argument, client_take_source, 0, 0, 0, 0 },
        { "connect-timeout", 0, required_argument, client_take_seconds, FIELD(connection.timeout),
          0, CLIENT_TIME_MAXIMUM, 0 },
        { "timeout", 0, required_argument, client_take_seconds, FIELD(timeout), 0,
          CLIENT_TIME_MAXIMUM, 0 },
        { "json", 0, no_argument, client_take_flag, FIELD(json), 0, 0, 0 },
        { "quiet", 'q', no_argument, client_take_flag, FIELD(quiet), 0, 0, 0 },
        { "no-progress", 0, no_argument, client_take_flag, FIELD(no_progress), 0, 0, 0 },
        { "help", 'h', no_argument, client_take_action, 0, 0, 0, 0 },
        { "version", 'V', no_argument, client_take_action, 0, 0, 0, 0 },
};

int client_rows_find(const char *name) {
        int row = 0;

        while (strcmp(client_rows[row].name, name) != 0)
                row++;
        return row;
}
