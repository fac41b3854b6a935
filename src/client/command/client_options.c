/* SPDX-License-Identifier: MIT */
/*
 * Reads the client's command line as a whole: the combinations of options, and the defaults that
 * depend on them. client_rows.c contains the options one by one, client_target.c the other words.
 *
 * The order matters. All words are read before a combination is checked, since the user chooses
 * their order; a default is set last, so that no check takes it for the user's wish.
 *
 * Nothing here connects or looks up a name: a wrong command line must fail before anything happens.
 */
#include "client/command/client_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/command/client_rows.h"
#include "client/command/client_target.h"
#include "client/content/payload.h"
#include "lib/clock.h"

enum {
        CLIENT_MONITOR_COUNT = 5,
        CLIENT_CONNECTIONS = 32,
};

#define CLIENT_TIMEOUT          (10 * CLOCK_SECOND)
#define CLIENT_PING_INTERVAL    CLOCK_SECOND
#define CLIENT_CHECK_SIZE       ((uint64_t)64 << 20)
#define CLIENT_DURATION         (10 * CLOCK_SECOND)
#define CLIENT_MONITOR_INTERVAL (200 * CLOCK_MILLISECOND)
#define CLIENT_MONITOR_DURATION (10 * CLOCK_SECOND)
#define CLIENT_BLOCK_SIZE       ((uint64_t)256 << 10)
#define CLIENT_MESSAGE_SIZE     ((uint64_t)64)
#define CLIENT_MESSAGE_MAXIMUM  ((uint64_t)16 << 20)
#define CLIENT_FLOW_MAXIMUM     ((uint64_t)64 << 10)

/* With datagrams: a later answer is late, and a check should not exceed the burst that mpecho
 * allows a source. The default length fits most tunnels. */
#define CLIENT_DATAGRAM_TIMEOUT CLOCK_SECOND
#define CLIENT_DATAGRAM_CHECK   ((uint64_t)256 << 10)
#define CLIENT_DATAGRAM_LENGTH  ((uint64_t)1400)

/* Writes the modes that are bits in @modes: "--ping and --load". */
static void client_options_name_modes(uint64_t modes, char *text, size_t size) {
        const char *separator = "";

        text[0] = '\0';
        for (ClientAction action = CLIENT_CHECK; action <= CLIENT_MTU; action++)
                if ((modes & (uint64_t)1 << action) != 0) {
                        modes &= ~((uint64_t)1 << action);
                        snprintf(text + strlen(text), size - strlen(text), "%s--%s", separator,
                                 client_action_name(action));
                        separator = (modes & (modes - 1)) == 0 ? " and " : ", ";
                }
}

static int client_options_check_modes(const OptionParse *parse, ClientAction action) {
        char modes[64];

        for (size_t i = 0; i < client_rows_count; i++)
                if (parse->given[i] && client_rows[i].tags != 0 &&
                    (client_rows[i].tags & (uint64_t)1 << action) == 0) {
                        client_options_name_modes(client_rows[i].tags, modes, sizeof modes);
                        return failure_set(parse->failure, -EINVAL, "--%s is only valid with %s",
                                           client_rows[i].name, modes);
                }
        return 0;
}

/* Rejects each of @names that the command line has: "--NAME @why". */
static int client_options_reject(const OptionParse *parse, const char *const *names, size_t count,
                                 const char *why) {
        for (size_t i = 0; i < count; i++)
                if (option_is_given(parse, names[i]))
                        return failure_set(parse->failure, -EINVAL, "--%s %s", names[i], why);
        return 0;
}

/* Streams have neither requests nor the times that these take. */
static int client_options_check_streams(const OptionParse *parse) {
        static const char *const without[] = { "rate", "csv", "hgrm", "plot" };

        return client_options_reject(parse, without, sizeof without / sizeof without[0],
                                     "cannot be used with --kind streams");
}

/* Rejects options of streams with --udp, and options of datagrams without. */
static int client_options_check_datagrams(const OptionParse *parse) {
        static const char *const without[] = { "connect", "reset", "connect-timeout",
                                               "kind",    "mptcp", "proxy-protocol" };
        static const char *const with[] = { "dont-fragment", "length" };
        const ClientOptions *options = parse->options;
        const bool datagram = options->connection.datagram;
        int r;

        r = datagram ? client_options_reject(parse, without, sizeof without / sizeof without[0],
                                             "cannot be used with --udp")
                     : client_options_reject(parse, with, sizeof with / sizeof with[0],
                                             "needs --udp");
        if (r < 0)
                return r;
        if (options->action == CLIENT_MTU && options->timeout == 0)
                return failure_set(parse->failure, -EINVAL, "--mtu needs a --timeout above 0");
        if (options->size == 0 && option_is_given(parse, "size") &&
            (!datagram || options->action == CLIENT_CHECK))
                return failure_set(parse->failure, -EINVAL,
                                   "--size 0 needs --udp with --ping or --load");
        if (datagram && options->action != CLIENT_CHECK && options->size > PAYLOAD_SIZE_MAXIMUM)
                return failure_set(parse->failure, -EINVAL, "--size is at most %d with --udp",
                                   PAYLOAD_SIZE_MAXIMUM);
        return 0;
}

/* Sets the defaults of datagrams that differ from those of streams. */
static void client_options_complete_datagrams(const OptionParse *parse) {
        ClientOptions *options = parse->options;

        if (!option_is_given(parse, "timeout"))
                options->timeout = CLIENT_DATAGRAM_TIMEOUT;
        if (options->action != CLIENT_CHECK)
                return;
        if (!option_is_given(parse, "size"))
                options->check_size = CLIENT_DATAGRAM_CHECK;
        options->size = options->length == 0 ? CLIENT_DATAGRAM_LENGTH : options->length;
}

/* A flow is one connection, without lines of its own. */
static int client_options_check_flows(const OptionParse *parse) {
        static const char *const without[] = { "connect", "timestamps", "mptcp" };
        const ClientOptions *options = parse->options;
        int r;

        r = client_options_reject(parse, without, sizeof without / sizeof without[0],
                                  "and --flows cannot be combined");
        if (r < 0)
                return r;
        if (options->size > CLIENT_FLOW_MAXIMUM)
                return failure_set(parse->failure, -EINVAL, "--size is at most 64K with --flows");
        if (options->source_port + options->flows > UINT16_MAX + 1)
                return failure_set(parse->failure, -EINVAL,
                                   "--source-port and --flows exceed port 65535");
        return 0;
}

/* Sets the defaults that depend on the mode. */
static int client_options_complete(const OptionParse *parse) {
        static const uint64_t sizes[] = { [CLIENT_CHECK] = CLIENT_CHECK_SIZE,
                                          [CLIENT_PING] = CLIENT_MESSAGE_SIZE,
                                          [CLIENT_LOAD] = CLIENT_MESSAGE_SIZE,
                                          [CLIENT_MTU] = CLIENT_MESSAGE_SIZE,
                                          [CLIENT_RELAY] = CLIENT_MESSAGE_SIZE };
        ClientOptions *options = parse->options;

        if (options->action != CLIENT_CHECK && options->size > CLIENT_MESSAGE_MAXIMUM)
                return failure_set(parse->failure, -EINVAL, "--size is at most 16M with --%s",
                                   client_action_name(options->action));
        if (!option_is_given(parse, "size"))
                options->size = options->load == LOAD_STREAMS ? CLIENT_BLOCK_SIZE
                                                              : sizes[options->action];
        options->check_size = options->size;
        if (options->connection.datagram)
                client_options_complete_datagrams(parse);
        if (options->action == CLIENT_PING && options->interval == 0 && !options->flood)
                options->interval = CLIENT_PING_INTERVAL;
        /* The plain mode needs any address, and soon. */
        options->connection.race = options->action == CLIENT_RELAY;
        options->connection.warn = (!options->connection.race || options->connection.mptcp) &&
                                   !options->quiet && !options->json;
        if (options->action == CLIENT_LOAD && options->duration == 0)
                options->duration = CLIENT_DURATION;
        /* A user who types, or a slow pipe, may take any time. */
        if (options->action == CLIENT_RELAY && !option_is_given(parse, "timeout"))
                options->timeout = 0;
        return 0;
}

static int client_options_check(OptionParse *parse) {
        ClientOptions *options = parse->options;
        int r = client_options_check_modes(parse, options->action);

        options->connection.datagram |= options->action == CLIENT_MTU;

        if (r == 0 && options->load == LOAD_STREAMS)
                r = client_options_check_streams(parse);
        if (r == 0)
                r = client_options_check_datagrams(parse);
        if (r == 0 && options->flows > 0)
                r = client_options_check_flows(parse);
        if (r < 0)
                return r;
        if (options->source_port > 0 && options->flows == 0)
                return failure_set(parse->failure, -EINVAL, "--source-port needs --flows");
        if (options->action == CLIENT_LOAD && options->load != LOAD_STREAMS &&
            options->bandwidth > 0)
                return failure_set(parse->failure, -EINVAL,
                                   "--bandwidth needs --kind streams: the speed of requests is "
                                   "--rate");
        if (options->reset && options->load != LOAD_CONNECTIONS)
                return failure_set(parse->failure, -EINVAL, "--reset needs --kind connections");
        if (options->flood && option_is_given(parse, "interval"))
                return failure_set(parse->failure, -EINVAL,
                                   "--flood and --interval cannot be combined");
        return client_options_complete(parse);
}

/* The defaults of the plugin; the last round trip ends within its time. */
static int client_options_check_monitor(OptionParse *parse, char *const *words) {
        ClientOptions *options = parse->options;
        char *target[] = { (char *)options->monitored, words[0], NULL, NULL };

        if (options->monitored == NULL || words[0] != NULL)
                return failure_set(parse->failure, -EINVAL,
                                   words[0] == NULL ? "Missing option -H HOST"
                                                    : "Unexpected argument '%s'",
                                   words[0]);
        options->action = CLIENT_PING;
        options->monitor = true;
        options->size = CLIENT_MESSAGE_SIZE;
        options->timeout = options->connection.timeout = options->duration;
        if (options->connection.datagram)
                options->timeout = clock_earlier(CLIENT_DATAGRAM_TIMEOUT, options->duration);
        return client_target_take(parse, target);
}

static int client_options_parse_monitor(int argc, char **argv, ClientOptions *options,
                                        Failure *failure) {
        OptionParse parse = { .rows = monitor_rows,
                              .count = monitor_rows_count,
                              .options = options,
                              .failure = failure };
        int r;

        options->count = CLIENT_MONITOR_COUNT;
        options->interval = CLIENT_MONITOR_INTERVAL;
        options->duration = CLIENT_MONITOR_DURATION;
        r = option_read(&parse, argc, argv);
        return r > 0 ? client_options_check_monitor(&parse, argv + r) : r;
}

static int client_options_parse_usual(int argc, char **argv, ClientOptions *options,
                                      Failure *failure) {
        OptionParse parse = { .rows = client_rows,
                              .count = client_rows_count,
                              .options = options,
                              .failure = failure };
        int r = option_read(&parse, argc, argv);

        if (r <= 0)
                return r;
        r = client_target_take(&parse, argv + r);
        return r < 0 ? r : client_options_check(&parse);
}

int client_options_parse(int argc, char **argv, ClientOptions *ret_options, Failure *ret_failure) {
        ClientOptions options = {
                .action = CLIENT_RELAY,
                .arguments = argv + 1,
                .target.family = AF_UNSPEC,
                .connection = { .timeout = CLIENT_TIMEOUT, .interrupt = -1 },
                .timeout = CLIENT_TIMEOUT,
                .connections = CLIENT_CONNECTIONS,
        };
        int r = client_options_is_monitor(argv)
                                ? client_options_parse_monitor(argc - 1, argv + 1, &options,
                                                               ret_failure)
                                : client_options_parse_usual(argc, argv, &options, ret_failure);

        if (r == 0)
                *ret_options = options;
        return r;
}

bool client_options_want_lines(const ClientOptions *options) {
        return !options->quiet && !options->flood && !options->json && !options->monitor;
}

bool client_options_want_interims(const ClientOptions *options) {
        return options->action != CLIENT_PING && options->interval > 0 &&
               (options->json || !options->quiet);
}

bool client_options_want_progress(const ClientOptions *options) {
        return !options->quiet && !options->no_progress && !client_options_want_interims(options);
}

bool client_options_is_monitor(char *const *argv) {
        return argv[0] != NULL && argv[1] != NULL && strcmp(argv[1], "--monitor") == 0;
}

const char *client_action_name(ClientAction action) {
        static const char *const names[] = {
                [CLIENT_LOAD] = "load",       [CLIENT_RELAY] = "plain", [CLIENT_CHECK] = "check",
                [CLIENT_PING] = "ping",       [CLIENT_MTU] = "mtu",     [CLIENT_HELP] = "help",
                [CLIENT_VERSION] = "version",
        };

        return names[action];
}
