/* SPDX-License-Identifier: MIT */
#include "client/client_options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "client/client_rows.h"
#include "client/instant.h"

enum {
        CLIENT_DEFAULT_PORT = 7,
        CLIENT_MONITOR_COUNT = 5,
        CLIENT_CONNECTIONS = 32,
        /* Of getopt_long(3)'s values for options, the first. */
        CLIENT_FIRST_VALUE = UINT8_MAX + 1,
};

#define CLIENT_TIMEOUT      (10 * INSTANT_SECOND)
#define CLIENT_CHECK_SIZE   ((uint64_t)64 << 20)
#define CLIENT_DURATION     (10 * INSTANT_SECOND)
#define CLIENT_BLOCK_SIZE   ((uint64_t)128 << 10)
#define CLIENT_MESSAGE_SIZE ((uint64_t)64)

/* What getopt_long(3) wants to know of the rows. Options are told apart by their row's number. */
static void client_options_describe(struct option options[static CLIENT_ROWS + 1],
                                    char letters[static 2 * CLIENT_ROWS + 2]) {
        /* Errors are told by client_options_refuse(). */
        *letters++ = ':';
        for (int i = 0; i < CLIENT_ROWS; i++) {
                const ClientRow *row = &client_rows[i];

                options[i] = (struct option){ row->name, row->argument, NULL,
                                              CLIENT_FIRST_VALUE + i };
                if (row->letter == 0)
                        continue;
                *letters++ = row->letter;
                if (row->argument == required_argument)
                        *letters++ = ':';
        }
        options[CLIENT_ROWS] = (struct option){};
        *letters = '\0';
}

static const ClientRow *client_options_find(int found) {
        const ClientRow *row = client_rows;

        if (found >= CLIENT_FIRST_VALUE)
                return &client_rows[found - CLIENT_FIRST_VALUE];
        while (row->letter != found)
                row++;
        return row;
}

/* Says what getopt_long(3) found wrong with the word before optind. */
static int client_options_refuse(int found, const char *word, Failure *failure) {
        if (found == ':')
                return failure_set(failure, FAILURE_USAGE, -EINVAL, "option '%s' needs a value",
                                   word);
        if (optopt >= CLIENT_FIRST_VALUE)
                return failure_set(failure, FAILURE_USAGE, -EINVAL, "option '%s' takes no value",
                                   word);
        if (optopt != 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL, "unknown option '-%c'", optopt);
        return failure_set(failure, FAILURE_USAGE, -EINVAL, "unknown or ambiguous option '%s'",
                           word);
}

static bool client_options_is_given(const ClientParse *parse, const char *name) {
        return parse->given[client_rows_find(name)];
}

static bool client_options_is_done(const ClientOptions *options) {
        return options->action == CLIENT_HELP || options->action == CLIENT_VERSION;
}

/* Takes the options, and leaves optind at the words behind them. */
static int client_options_take(ClientParse *parse, int argc, char **argv) {
        struct option options[CLIENT_ROWS + 1];
        char letters[2 * CLIENT_ROWS + 2];
        int found, r;

        client_options_describe(options, letters);
        /* 0 starts from the front again and makes getopt_long(3) forget another command line. */
        optind = 0;
        opterr = 0;
        while ((found = getopt_long(argc, argv, letters, options, NULL)) >= 0) {
                const ClientRow *row;

                if (found == '?' || found == ':')
                        return client_options_refuse(found, argv[optind - 1], parse->failure);
                row = client_options_find(found);
                parse->given[row - client_rows] = true;
                r = row->take(parse, row, optarg);
                if (r < 0 || client_options_is_done(&parse->options))
                        return r;
        }
        return 0;
}

static int client_options_check_local(const ClientOptions *options, Failure *failure) {
        const Target *target = &options->target;
        Endpoint endpoint;
        const char *why;

        if (endpoint_parse_local(target->host, &endpoint, &why) < 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL, "'%s' is no Unix socket: %s",
                                   target->host, why);
        if (target->port != 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "the Unix socket '%s' has no port", target->host);
        if (target->family != AF_UNSPEC)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "-4 and -6 mean nothing to the Unix socket '%s'", target->host);
        if (options->connection.source.length != 0)
                return failure_set(failure, FAILURE_USAGE, -EINVAL,
                                   "--source means nothing to the Unix socket '%s'", target->host);
        return 0;
}

static int client_options_set_target(ClientParse *parse, char *const *words) {
        Target *target = &parse->options.target;
        int r;

        if (words[0] == NULL || words[0][0] == '\0')
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL, "the host is missing");
        target->host = words[0];
        if (words[1] != NULL && words[2] != NULL)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "'%s' is one word too many", words[2]);
        if (words[1] != NULL) {
                r = client_rows_take_port(parse, NULL, words[1]);
                if (r < 0)
                        return r;
        }
        if (endpoint_is_local(target->host))
                return client_options_check_local(&parse->options, parse->failure);
        if (target->port == 0)
                target->port = CLIENT_DEFAULT_PORT;
        return 0;
}

/* Thresholds mean a ping, and one that comes to an end. */
static int client_options_check_monitor(ClientParse *parse) {
        ClientOptions *options = &parse->options;

        if (options->json)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--json and thresholds exclude each other");
        if (options->warn > 0 && options->critical > 0 && options->warn > options->critical)
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--warn must not be above --critical");
        if (options->action == CLIENT_RELAY)
                options->action = CLIENT_PING;
        if (options->count == 0 && options->deadline == 0)
                options->count = CLIENT_MONITOR_COUNT;
        return 0;
}

static const char *client_options_modes_name(unsigned modes) {
        if (modes == (1U << CLIENT_PING | 1U << CLIENT_LOAD))
                return "--ping and --load";
        return modes == 1U << CLIENT_PING ? "--ping" : "--load";
}

static int client_options_check_load(ClientParse *parse) {
        /* Streams have neither requests nor the times that these take. */
        static const char *const without[] = { "rate", "csv", "plot" };
        ClientOptions *options = &parse->options;

        if (options->load != LOAD_STREAMS)
                return 0;
        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
                if (client_options_is_given(parse, without[i]))
                        return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                           "--%s means nothing to --load=streams", without[i]);
        if (!client_options_is_given(parse, "size"))
                options->size = CLIENT_BLOCK_SIZE;
        return 0;
}

/* What no option says for itself: whether they go together. */
static int client_options_check(ClientParse *parse) {
        int r = parse->options.monitor ? client_options_check_monitor(parse) : 0;

        if (r < 0)
                return r;
        for (int i = 0; i < CLIENT_ROWS; i++) {
                unsigned modes = client_rows[i].modes;

                if (parse->given[i] && modes != 0 && (modes & 1U << parse->options.action) == 0)
                        return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                           "--%s belongs to %s", client_rows[i].name,
                                           client_options_modes_name(modes));
        }
        if (parse->options.flood && client_options_is_given(parse, "interval"))
                return failure_set(parse->failure, FAILURE_USAGE, -EINVAL,
                                   "--flood and --interval exclude each other");
        if (parse->options.flood)
                parse->options.interval = 0;
        if (parse->options.action == CLIENT_LOAD)
                return client_options_check_load(parse);
        /* Who types, or feeds a pipe, has all the time in the world. */
        if (parse->options.action == CLIENT_RELAY && !client_options_is_given(parse, "timeout"))
                parse->options.timeout = 0;
        return 0;
}

int client_options_parse(int argc, char **argv, ClientOptions *ret_options, Failure *ret_failure) {
        ClientParse parse = {
                .options = {
                        .action = CLIENT_RELAY,
                        .target.family = AF_UNSPEC,
                        .connection = { .timeout = CLIENT_TIMEOUT, .interrupt = -1 },
                        .timeout = CLIENT_TIMEOUT,
                        .check_size = CLIENT_CHECK_SIZE,
                        .interval = INSTANT_SECOND,
                        .size = CLIENT_MESSAGE_SIZE,
                        .connections = CLIENT_CONNECTIONS,
                        .duration = CLIENT_DURATION,
                },
                .failure = ret_failure,
        };
        int r;

        r = client_options_take(&parse, argc, argv);
        if (r == 0 && !client_options_is_done(&parse.options)) {
                r = client_options_set_target(&parse, argv + optind);
                if (r == 0)
                        r = client_options_check(&parse);
        }
        if (r == 0)
                *ret_options = parse.options;
        return r;
}

bool client_options_want_lines(const ClientOptions *options) {
        return !options->quiet && !options->flood && !options->json && !options->monitor;
}

bool client_options_want_progress(const ClientOptions *options) {
        return !options->quiet && !options->no_progress;
}

/* Whether @word is an option whose name @name begins with it or is the beginning of it, and that
 * has at least the @length bytes by which getopt_long(3) knows it. */
static bool client_options_is_like(const char *word, const char *name, size_t length) {
        const size_t given = strcspn(word, "="), whole = strlen(name);

        return given >= length && strncmp(word, name, given < whole ? given : whole) == 0;
}

bool client_options_is_monitor(char *const *argv) {
        for (char *const *word = argv + 1; *word != NULL && strcmp(*word, "--") != 0; word++)
                if (client_options_is_like(*word, "--warn", strlen("--w")) ||
                    client_options_is_like(*word, "--critical", strlen("--cr")))
                        return true;
        return false;
}

const char *client_action_name(ClientAction action) {
        static const char *const names[] = {
                [CLIENT_LOAD] = "load", [CLIENT_RELAY] = "plain", [CLIENT_CHECK] = "check",
                [CLIENT_PING] = "ping", [CLIENT_HELP] = "help",   [CLIENT_VERSION] = "version",
        };

        return names[action];
}

const char *client_load_name(LoadKind kind) {
        static const char *const names[] = {
                [LOAD_REQUESTS] = "requests",
                [LOAD_CONNECTIONS] = "connections",
                [LOAD_STREAMS] = "streams",
        };

        return names[kind];
}
