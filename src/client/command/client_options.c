/* SPDX-License-Identifier: MIT */
/*
 * Reads the client's command line as a whole: the words that are not options, the combinations, and
 * the defaults. client_rows.c contains the options one by one.
 *
 * The words are HOST and optionally PORT. HOST may contain the port, as the service logs it. Users
 * also write the syntax of other programs: a value after a mode, a URL, an address without its
 * zone. For these the error message contains the right syntax.
 *
 * Nothing here connects or looks up a name: a wrong command line must fail before anything happens.
 */
#include "client/command/client_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "client/command/client_rows.h"
#include "client/content/payload.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        CLIENT_DEFAULT_PORT = 7,
        CLIENT_MONITOR_COUNT = 5,
        CLIENT_CONNECTIONS = 32,
};

#define CLIENT_TIMEOUT          (10 * CLOCK_SECOND)
#define CLIENT_PING_INTERVAL    CLOCK_SECOND
#define CLIENT_CHECK_SIZE       ((uint64_t)64 << 20)
#define CLIENT_DURATION         (10 * CLOCK_SECOND)
#define CLIENT_MONITOR_INTERVAL (200 * CLOCK_MILLISECOND)
#define CLIENT_MONITOR_DURATION (10 * CLOCK_SECOND)
#define CLIENT_BLOCK_SIZE       ((uint64_t)128 << 10)
#define CLIENT_MESSAGE_SIZE     ((uint64_t)64)
#define CLIENT_MESSAGE_MAXIMUM  ((uint64_t)16 << 20)
#define CLIENT_FLOW_MAXIMUM     ((uint64_t)64 << 10)

/* With datagrams: a later answer is late, and a check should not exceed the burst that mpecho
 * allows a source. The default length fits most tunnels. */
#define CLIENT_DATAGRAM_TIMEOUT CLOCK_SECOND
#define CLIENT_DATAGRAM_CHECK   ((uint64_t)256 << 10)
#define CLIENT_DATAGRAM_LENGTH  ((uint64_t)1400)

/* Checks a Unix socket or an address of vsock as the target. */
static int client_options_check_other(const OptionParse *parse, const Target *target) {
        static const char *const without[] = { "ipv4",          "ipv6",  "source", "dscp", "ttl",
                                               "dont-fragment", "mptcp", "flows",  "mtu",  "udp" };
        const bool local = endpoint_is_local(target->host);
        /* A Unix socket takes datagrams. */
        const size_t count = sizeof without / sizeof without[0] - (local ? 1 : 0);
        const char *kind = local ? "the Unix socket" : "the address of vsock";
        Endpoint endpoint;
        const char *why;

        if (endpoint_parse(target->host, &endpoint, &why) < 0)
                return failure_set(parse->failure, -EINVAL, "Cannot connect to '%s': %s",
                                   target->host, why);
        if (target->port != 0)
                return failure_set(parse->failure, -EINVAL,
                                   local ? "The Unix socket '%s' has no port"
                                         : "The address of vsock '%s' has its own port",
                                   target->host);
        for (size_t i = 0; i < count; i++)
                if (option_is_given(parse, without[i]))
                        return failure_set(parse->failure, -EINVAL,
                                           "--%s cannot be used with %s '%s'", without[i], kind,
                                           target->host);
        return 0;
}

/* Rejects an address that needs the name of an interface and lacks it, or has a wrong one. */
static int client_options_check_zone(const char *host, const char *word, Failure *failure) {
        const char *zone = strchr(host, '%');
        struct in6_addr address;

        if (zone == NULL && inet_pton(AF_INET6, host, &address) == 1 &&
            IN6_IS_ADDR_LINKLOCAL(&address))
                return failure_set(failure, -EINVAL,
                                   "'%s' needs its zone, the interface, as in fe80::1%%eth0", word);
        if (zone != NULL && strchr(host, ':') != NULL && if_nametoindex(zone + 1) == 0 &&
            zone[1 + strspn(zone + 1, "0123456789")] != '\0')
                return failure_set(failure, -EINVAL, "'%s' names an interface that does not exist",
                                   word);
        return 0;
}

/* Rejects a first word that looks like the value of a mode, which takes none. */
static int client_options_check_value(OptionParse *parse, char *const *words) {
        ClientOptions *options = parse->options;
        Failure ignored;
        OptionParse port = { .options = &(ClientOptions){}, .failure = &ignored };
        uint64_t size;
        bool value = quantity_parse_size(words[0], 0, UINT64_MAX, &size) == 0;

        for (int kind = LOAD_REQUESTS; kind <= LOAD_STREAMS && !value; kind++)
                value = options->action == CLIENT_LOAD && words[1] != NULL &&
                        strcmp(words[0], client_load_name((LoadKind)kind)) == 0 &&
                        client_rows_take_port(&port, NULL, words[1]) < 0;
        if (!value)
                return 0;
        for (size_t i = 0; i < parse->count; i++)
                if (parse->given[i] && parse->rows[i].hint != NULL)
                        return failure_set(parse->failure, -EINVAL,
                                           "'%s' is not a host: --%s takes no value, %s", words[0],
                                           parse->rows[i].name, parse->rows[i].hint);
        return 0;
}

/* Returns whether @text is a numeric IPv6 address, with or without a zone. */
static bool client_options_is_ipv6(const char *text) {
        char address[INET6_ADDRSTRLEN];
        size_t length = strcspn(text, "%");

        snprintf(address, sizeof address, "%.*s", (int)length, text);
        return length < sizeof address && inet_pton(AF_INET6, address, &(struct in6_addr){}) == 1;
}

/* Splits "[ADDRESS6]", "[ADDRESS6]:PORT" and "HOST:PORT", and leaves the host alone in @host. */
static int client_options_split(OptionParse *parse, char *host, const char *word) {
        char *end = host[0] == '[' ? strchr(host, ']') : NULL;
        char *colon = strchr(end == NULL ? host : end, ':');
        bool wrong = host[0] == '[' && (end == NULL || (end[1] != '\0' && end[1] != ':'));

        if (end != NULL) {
                *end = '\0';
                memmove(host, host + 1, strlen(host));
        }
        if (wrong || (end != NULL && !client_options_is_ipv6(host)))
                return failure_set(parse->failure, -EINVAL,
                                   "'%s' is not an IPv6 address in brackets", word);
        if (colon == NULL)
                return 0;
        if (end == NULL && strchr(colon + 1, ':') != NULL) {
                if (client_options_is_ipv6(host))
                        return 0;
                return failure_set(parse->failure, -EINVAL,
                                   "'%s' is neither an IPv6 address nor HOST:PORT", word);
        }
        *colon = '\0';
        return client_rows_take_port(parse, NULL, colon + 1);
}

static int client_options_set_host(OptionParse *parse, const char *word) {
        ClientOptions *options = parse->options;
        Target *target = &options->target;
        int r;

        if (strstr(word, "://") != NULL)
                return failure_set(parse->failure, -EINVAL,
                                   "'%s' is a URL: write HOST or HOST:PORT", word);
        if (strlen(word) >= sizeof target->host)
                return failure_set(parse->failure, -EINVAL, "The host name '%s' is too long", word);
        memcpy(target->host, word, strlen(word) + 1);
        if (!endpoint_is_internet(word))
                return 0;
        r = client_options_split(parse, target->host, word);
        if (r < 0)
                return r;
        if (target->host[0] == '\0')
                return failure_set(parse->failure, -EINVAL, "'%s' has no host", word);
        return client_options_check_zone(target->host, word, parse->failure);
}

static int client_options_set_target(OptionParse *parse, char *const *words) {
        ClientOptions *options = parse->options;
        Target *target = &options->target;
        int r;

        if (words[0] == NULL || words[0][0] == '\0')
                return failure_set(parse->failure, -EINVAL, "Missing argument HOST");
        r = client_options_check_value(parse, words);
        if (r < 0)
                return r;
        if (words[1] != NULL && words[2] != NULL)
                return failure_set(parse->failure, -EINVAL, "Unexpected argument '%s'", words[2]);
        r = client_options_set_host(parse, words[0]);
        if (r == 0 && words[1] != NULL)
                r = client_rows_take_port(parse, NULL, words[1]);
        if (r < 0)
                return r;
        if (!endpoint_is_internet(target->host))
                return client_options_check_other(parse, target);
        if (target->port == 0)
                target->port = CLIENT_DEFAULT_PORT;
        return 0;
}

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

/* Streams have neither requests nor the times that these take. */
static int client_options_check_streams(const OptionParse *parse) {
        static const char *const without[] = { "rate", "csv", "hgrm", "plot" };

        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
                if (option_is_given(parse, without[i]))
                        return failure_set(parse->failure, -EINVAL,
                                           "--%s cannot be used with --kind streams", without[i]);
        return 0;
}

/* Rejects options of streams with --udp, and options of datagrams without. */
static int client_options_check_datagrams(const OptionParse *parse) {
        static const char *const without[] = { "connect", "reset", "connect-timeout",
                                               "kind",    "mptcp", "proxy-protocol" };
        static const char *const with[] = { "dont-fragment", "length" };
        const ClientOptions *options = parse->options;
        const bool datagram = options->connection.datagram;
        const char *const *wrong = datagram ? without : with;
        const size_t count = datagram ? sizeof without / sizeof without[0]
                                      : sizeof with / sizeof with[0];

        for (size_t i = 0; i < count; i++)
                if (option_is_given(parse, wrong[i]))
                        return failure_set(parse->failure, -EINVAL,
                                           datagram ? "--%s cannot be used with --udp"
                                                    : "--%s needs --udp",
                                           wrong[i]);
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

        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
                if (option_is_given(parse, without[i]))
                        return failure_set(parse->failure, -EINVAL,
                                           "--%s and --flows cannot be combined", without[i]);
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
        return client_options_set_target(parse, target);
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
        r = client_options_set_target(&parse, argv + r);
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
