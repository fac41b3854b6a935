/* SPDX-License-Identifier: MIT */
/*
 * Reads the words that are not options: HOST and optionally PORT.
 *
 * HOST may contain the port, as the service logs it. Users also write the syntax of other programs:
 * a value after a mode, a URL, an address without its zone. For these the error message contains
 * the right syntax.
 *
 * Nothing here looks up a name: a wrong word must fail before anything happens.
 */
#include "client/command/client_target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "client/command/client_options.h"
#include "client/command/client_rows.h"
#include "client/value/quantity.h"

enum {
        CLIENT_DEFAULT_PORT = 7,
};

/* Checks a Unix socket or an address of vsock as the target. */
static int client_target_check_other(const OptionParse *parse, const Target *target) {
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
static int client_target_check_zone(const char *host, const char *word, Failure *failure) {
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
static int client_target_check_value(OptionParse *parse, char *const *words) {
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

static bool client_target_is_ipv6(const char *text) {
        char address[INET6_ADDRSTRLEN];
        size_t length = strcspn(text, "%");

        snprintf(address, sizeof address, "%.*s", (int)length, text);
        return length < sizeof address && inet_pton(AF_INET6, address, &(struct in6_addr){}) == 1;
}

/* Splits "[ADDRESS6]", "[ADDRESS6]:PORT" and "HOST:PORT", and leaves the host alone in @host. */
static int client_target_split(OptionParse *parse, char *host, const char *word) {
        char *end = host[0] == '[' ? strchr(host, ']') : NULL;
        char *colon = strchr(end == NULL ? host : end, ':');
        bool wrong = host[0] == '[' && (end == NULL || (end[1] != '\0' && end[1] != ':'));

        if (end != NULL) {
                *end = '\0';
                memmove(host, host + 1, strlen(host));
        }
        if (wrong || (end != NULL && !client_target_is_ipv6(host)))
                return failure_set(parse->failure, -EINVAL,
                                   "'%s' is not an IPv6 address in brackets", word);
        if (colon == NULL)
                return 0;
        if (end == NULL && strchr(colon + 1, ':') != NULL) {
                if (client_target_is_ipv6(host))
                        return 0;
                return failure_set(parse->failure, -EINVAL,
                                   "'%s' is neither an IPv6 address nor HOST:PORT", word);
        }
        *colon = '\0';
        return client_rows_take_port(parse, NULL, colon + 1);
}

static int client_target_set_host(OptionParse *parse, const char *word) {
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
        r = client_target_split(parse, target->host, word);
        if (r < 0)
                return r;
        if (target->host[0] == '\0')
                return failure_set(parse->failure, -EINVAL, "'%s' has no host", word);
        return client_target_check_zone(target->host, word, parse->failure);
}

int client_target_take(OptionParse *parse, char *const *words) {
        ClientOptions *options = parse->options;
        Target *target = &options->target;
        int r;

        if (words[0] == NULL || words[0][0] == '\0')
                return failure_set(parse->failure, -EINVAL, "Missing argument HOST");
        r = client_target_check_value(parse, words);
        if (r < 0)
                return r;
        if (words[1] != NULL && words[2] != NULL)
                return failure_set(parse->failure, -EINVAL, "Unexpected argument '%s'", words[2]);
        r = client_target_set_host(parse, words[0]);
        if (r == 0 && words[1] != NULL)
                r = client_rows_take_port(parse, NULL, words[1]);
        if (r < 0)
                return r;
        if (!endpoint_is_internet(target->host))
                return client_target_check_other(parse, target);
        if (target->port == 0)
                target->port = CLIENT_DEFAULT_PORT;
        return 0;
}
