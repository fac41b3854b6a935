/* SPDX-License-Identifier: MIT */
/*
 * Gets from a target to a connected socket: looks up the name, tries its addresses, takes the first
 * one that answers.
 *
 * In a race, an address that has not answered within 250 ms gets a competitor, and families take
 * turns (Happy Eyeballs, RFC 8305). Without a race each address has all of its time, and the path
 * lists the failed ones: a tool that judges paths must not hide a dead one.
 *
 * Later connections go to the address that answered, as passed to connect(2): the name that a
 * server has for its Unix socket may be another socket here.
 */
#include "client/network/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "client/value/quantity.h"
#include "lib/clock.h"
#include "lib/descriptor.h"

/* RFC 8305, "Connection Attempt Delay". */
#define PATH_RACE_DELAY (250 * CLOCK_MILLISECOND)

/* All addresses of a target. The first @begun were tried; fd is -1 for those that failed. */
typedef struct Race {
        const ConnectionOptions *options;
        Addresses addresses;
        struct pollfd polled[ADDRESSES_MAXIMUM + 1];
        uint64_t starts[ADDRESSES_MAXIMUM];
        size_t begun;
        size_t pending;
        Path *path;
        Failure *failure;
        int error;
} Race;

/* Writes @endpoint to @text as users type it: with the name of its zone, and without escapes. */
static void path_format(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        const size_t before = offsetof(struct sockaddr_un, sun_path);
        char address[INET6_ADDRSTRLEN], zone[IF_NAMESIZE];

        if (endpoint->any.sa_family == AF_UNIX && endpoint->length > before) {
                const char *name = endpoint->local.sun_path;
                const int abstract = name[0] == '\0', length = (int)(endpoint->length - before);

                snprintf(text, ENDPOINT_TEXT_SIZE, "%s%.*s", abstract ? "@" : "", length - abstract,
                         name + abstract);
        } else if (endpoint->any.sa_family == AF_INET6 &&
                   if_indextoname(endpoint->ipv6.sin6_scope_id, zone) != NULL) {
                inet_ntop(AF_INET6, &endpoint->ipv6.sin6_addr, address, sizeof address);
                snprintf(text, ENDPOINT_TEXT_SIZE, "[%s%%%s]:%hu", address, zone,
                         ntohs(endpoint->ipv6.sin6_port));
        } else {
                endpoint_format(endpoint, text);
        }
}

static bool path_lacks_zone(const Endpoint *endpoint) {
        return endpoint->any.sa_family == AF_INET6 && endpoint->ipv6.sin6_scope_id == 0 &&
               IN6_IS_ADDR_LINKLOCAL(&endpoint->ipv6.sin6_addr);
}

static const char *path_describe_error(int error, const Endpoint *endpoint,
                                       const ConnectionOptions *options,
                                       char text[static PATH_FAILED_SIZE]) {
        char seconds[QUANTITY_TEXT_SIZE];

        if (error == ETIME)
                snprintf(text, PATH_FAILED_SIZE, "no answer within %s s",
                         quantity_format_time(options->timeout, seconds));
        else if ((error == EPROTONOSUPPORT || error == ENOPROTOOPT) && options->mptcp)
                snprintf(text, PATH_FAILED_SIZE, "the kernel of this machine lacks Multipath TCP");
        else if (error == EOPNOTSUPP && options->mptcp)
                snprintf(text, PATH_FAILED_SIZE, "--mptcp excludes --ttl and, over IPv6, --dscp");
        else if (error == EAFNOSUPPORT && options->source.length != 0)
                snprintf(text, PATH_FAILED_SIZE,
                         "the address family differs from that of --source");
        else if (error == EINVAL && path_lacks_zone(endpoint))
                snprintf(text, PATH_FAILED_SIZE,
                         "the address needs its zone, the interface, as in fe80::1%%eth0");
        else
                snprintf(text, PATH_FAILED_SIZE, "%s", strerror(error));
        return text;
}

/* Notes the failure of address @i; with several addresses the message names them. */
static void race_fail(Race *race, size_t i, int error) {
        char address[ENDPOINT_TEXT_SIZE], text[PATH_FAILED_SIZE];
        Path *path = race->path;

        path_describe_error(error, &race->addresses.list[i], race->options, text);
        path_format(&race->addresses.list[i], address);
        race->error = -error;
        race->failure->kind = failure_kind_from_errno(error);
        if (race->addresses.count > 1)
                failure_append(race->failure, "%s%s: %s", path->failed_count == 0 ? ": " : ", ",
                               address, text);
        else
                failure_append(race->failure, ": %s", text);
        if (path->failed_count < PATH_FAILED_MAXIMUM)
                snprintf(path->failed[path->failed_count++], PATH_FAILED_SIZE, "%.*s: %.70s",
                         ENDPOINT_TEXT_SIZE, address, text);
        if (race->polled[i].fd >= 0) {
                close(race->polled[i].fd);
                race->polled[i].fd = -1;
                race->pending--;
        }
}

static void race_begin(Race *race) {
        size_t i = race->begun++;
        bool pending = false;
        int fd;

        race->starts[i] = clock_now();
        race->polled[i] = (struct pollfd){ .fd = -1, .events = POLLOUT };
        /* A Unix socket, which has but one address, may have to wait for a place in the queue. */
        fd = race->addresses.list[i].any.sa_family == AF_UNIX
                             ? connection_open(&race->addresses.list[i], race->options)
                             : connection_begin(&race->addresses.list[i], race->options, &pending);
        if (fd == -EINTR) {
                race->error = fd;
        } else if (fd < 0) {
                race_fail(race, i, -fd);
        } else {
                /* A connection that came about at once is writable as well. */
                race->polled[i].fd = fd;
                race->pending++;
        }
}

/* Returns the instant of the next action without an answer: a timeout or a competitor. */
static uint64_t race_wake(const Race *race) {
        uint64_t wake = CLOCK_NEVER;

        for (size_t i = 0; i < race->begun; i++)
                if (race->polled[i].fd >= 0 &&
                    connection_end(race->options, race->starts[i]) < wake)
                        wake = connection_end(race->options, race->starts[i]);
        if (race->options->race && race->begun < race->addresses.count &&
            race->starts[race->begun - 1] + PATH_RACE_DELAY < wake)
                wake = race->starts[race->begun - 1] + PATH_RACE_DELAY;
        return wake;
}

/* Checks the addresses under way. Returns the index of one that has answered, or -1. */
static int race_look(Race *race) {
        uint64_t now = clock_now();

        for (size_t i = 0; i < race->begun; i++) {
                int r;

                if (race->polled[i].fd < 0)
                        continue;
                if (race->polled[i].revents != 0) {
                        r = connection_finish(race->polled[i].fd);
                        if (r == 0)
                                return (int)i;
                        race_fail(race, i, -r);
                } else if (now >= connection_end(race->options, race->starts[i])) {
                        race_fail(race, i, ETIME);
                }
        }
        return -1;
}

/* Returns the index of the address that has answered, or a negative errno. */
static int race_run(Race *race) {
        int won = -1, r;

        while (won < 0) {
                bool late = race->options->race && race->begun > 0 &&
                            clock_now() >= race->starts[race->begun - 1] + PATH_RACE_DELAY;
                struct pollfd *interrupt = &race->polled[race->begun];

                if (race->begun < race->addresses.count && (race->pending == 0 || late)) {
                        race_begin(race);
                        continue;
                }
                if (race->pending == 0)
                        return race->error;
                *interrupt = (struct pollfd){ .fd = race->options->interrupt, .events = POLLIN };
                r = inquiry_poll(race->polled, race->begun + 1, race_wake(race));
                if (r < 0) {
                        failure_append(race->failure, ": %s", strerror(-r));
                        return r;
                }
                if (interrupt->revents != 0)
                        return -EINTR;
                won = race_look(race);
        }
        return won;
}

/* Alternates the families, beginning with that of the first address (RFC 8305, section 4). */
static void race_interleave(Addresses *addresses) {
        for (size_t i = 1; i < addresses->count; i++) {
                sa_family_t last = addresses->list[i - 1].any.sa_family;
                size_t other = i;
                Endpoint moved;

                while (other < addresses->count && addresses->list[other].any.sa_family == last)
                        other++;
                if (other == addresses->count)
                        return;
                moved = addresses->list[other];
                memmove(&addresses->list[i + 1], &addresses->list[i], (other - i) * sizeof moved);
                addresses->list[i] = moved;
        }
}

static int path_ask(Race *race) {
        int won = race_run(race), fd = -1, r;

        for (size_t i = 0; i < race->begun; i++) {
                if (won >= 0 && i == (size_t)won)
                        fd = race->polled[i].fd;
                else
                        descriptor_close(race->polled[i].fd);
        }
        if (won == -EINTR) {
                race->failure->kind = FAILURE_INTERRUPTED;
                failure_append(race->failure, ": interrupted");
        }
        if (won < 0)
                return won;
        race->path->endpoint = race->addresses.list[won];
        race->path->start = race->starts[won];
        race->path->connect = clock_now() - race->starts[won];
        r = fcntl(fd, F_SETFL, 0) < 0 ? -errno
                                      : proxy_header_send(&race->options->proxy_header, fd);
        if (r == 0)
                return fd;
        close(fd);
        race->failure->kind = failure_kind_from_errno(-r);
        failure_append(race->failure, ": %s", strerror(-r));
        return r;
}

static int path_find(const Target *target, const ConnectionOptions *options,
                     Addresses *ret_addresses, Failure *failure) {
        const char *why;

        if (endpoint_is_internet(target->host))
                return resolve_target(target, options->end == 0 ? CLOCK_NEVER : options->end,
                                      options->interrupt, ret_addresses, failure);
        ret_addresses->count = 1;
        return endpoint_parse(target->host, &ret_addresses->list[0], &why);
}

static void path_describe(Path *path, int fd, const ConnectionOptions *options) {
        Endpoint local;

        path_format(&path->endpoint, path->peer);
        if (endpoint_from_socket(fd, &local) == 0)
                path_format(&local, path->local);
        if (options->mptcp && !connection_is_mptcp(fd) && path->failed_count < PATH_FAILED_MAXIMUM)
                snprintf(path->failed[path->failed_count++], PATH_FAILED_SIZE,
                         "%.*s: no Multipath TCP, fell back to TCP", ENDPOINT_TEXT_SIZE,
                         path->peer);
}

/* Prints the addresses that failed before one answered, and the times. */
static void path_print(const Path *path, const ConnectionOptions *options) {
        for (size_t i = 0; i < path->failed_count && options->warn; i++)
                fprintf(stderr, "mpecho-client: %s\n", path->failed[i]);
        if (options->verbose)
                fprintf(stderr,
                        "mpecho-client: Connected %s to %s in %.3f ms, name looked up in %.3f ms\n",
                        path->local, path->peer, (double)path->connect / CLOCK_MILLISECOND,
                        (double)path->resolve / CLOCK_MILLISECOND);
}

/* Tries the address of --source alone: the error of a connection would blame the peer's address. */
static int path_check_source(const ConnectionOptions *options, Failure *ret_failure) {
        const Endpoint *source = &options->source;
        char text[NI_MAXHOST] = "";
        int fd, r = 0;

        if (source->length == 0)
                return 0;

        fd = socket(source->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return 0;
        r = connection_bind(fd, source->any.sa_family, options);
        if (r < 0) {
                (void)getnameinfo(&source->any, source->length, text, sizeof text, NULL, 0,
                                  NI_NUMERICHOST);
                failure_set(ret_failure, r, "Cannot use source address %s: %s", text, strerror(-r));
        }
        close(fd);
        return r;
}

/* Looks up the addresses of @target. Sets @failure to the beginning of a sentence about it. */
static int path_look_up(const Target *target, const ConnectionOptions *options, Path *path,
                        Addresses *ret_addresses, Failure *failure) {
        const uint64_t start = clock_now();
        char text[TARGET_TEXT_SIZE];
        int r;

        r = path_check_source(options, failure);
        if (r < 0)
                return r;

        target_format(target, text);
        failure_set(failure, 0, "Cannot connect to %s", text);
        r = path_find(target, options, ret_addresses, failure);
        if (r == 0)
                path->resolve = clock_now() - start;
        return r;
}

int path_resolve(const Target *target, const ConnectionOptions *options, Path *ret_path,
                 Failure *ret_failure) {
        Failure failure = {};
        Addresses addresses = {};
        int r;

        r = path_look_up(target, options, ret_path, &addresses, &failure);
        if (r < 0) {
                *ret_failure = failure;
                return r;
        }
        ret_path->endpoint = addresses.list[0];
        path_format(&ret_path->endpoint, ret_path->peer);
        return 0;
}

int path_open(const Target *target, const ConnectionOptions *options, Path *ret_path,
              Failure *ret_failure) {
        Failure failure = {};
        Race race = { .options = options, .path = ret_path, .failure = &failure };
        int r;

        ret_path->failed_count = 0;
        r = path_look_up(target, options, ret_path, &race.addresses, &failure);
        if (r == 0) {
                if (options->race)
                        race_interleave(&race.addresses);
                r = path_ask(&race);
        }
        if (r < 0) {
                *ret_failure = failure;
        } else {
                path_describe(ret_path, r, options);
                path_print(ret_path, options);
        }
        return r;
}
