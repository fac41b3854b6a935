/* SPDX-License-Identifier: MIT */
#include "client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/instant.h"
#include "client/quantity.h"

int connection_finish(int fd) {
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error }) < 0)
                return -errno;
        return -error;
}

/* Waits until a connection that is under way is there or has failed. */
static int connection_wait(int fd, const ConnectionOptions *options) {
        struct pollfd polled[] = { { .fd = fd, .events = POLLOUT },
                                   { .fd = options->interrupt, .events = POLLIN } };
        uint64_t end = options->timeout == 0 ? INSTANT_NEVER : instant_now() + options->timeout;
        int r;

        do
                r = poll(polled, 2, instant_timeout(instant_now(), end));
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        if (r == 0)
                return -ETIME;
        return polled[0].revents == 0 ? -EINTR : connection_finish(fd);
}

/* Unix sockets do not connect in the background: they wait for a place in the queue. */
static int connection_begin_local(int fd, const Endpoint *endpoint,
                                  const ConnectionOptions *options) {
        struct timeval timeout = { .tv_sec = (time_t)(options->timeout / INSTANT_SECOND),
                                   .tv_usec = (suseconds_t)(options->timeout % INSTANT_SECOND /
                                                            1000) };
        int r;

        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0)
                return -errno;
        do
                r = connect(fd, &endpoint->any, endpoint->length) < 0 ? -errno : 0;
        while (r == -EINTR);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){}, sizeof(struct timeval));
        if (r < 0)
                return r == -EAGAIN ? -ETIME : r;
        return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Sets what the packets of the connection carry and which interface they take. */
static int connection_mark(int fd, int family, const ConnectionOptions *options) {
        const bool ipv6 = family == AF_INET6;
        const int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
        const int class = (int)options->dscp << 2, ttl = (int)options->ttl;

        if (options->device[0] != '\0' &&
            setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->device,
                       (socklen_t)strlen(options->device)) < 0)
                return -errno;
        if (class != 0 &&
            setsockopt(fd, level, ipv6 ? IPV6_TCLASS : IP_TOS, &class, sizeof class) < 0)
                return -errno;
        if (ttl != 0 &&
            setsockopt(fd, level, ipv6 ? IPV6_UNICAST_HOPS : IP_TTL, &ttl, sizeof ttl) < 0)
                return -errno;
        return 0;
}

/* Returns -EINPROGRESS while the connection is under way. */
static int connection_begin_internet(int fd, const Endpoint *endpoint,
                                     const ConnectionOptions *options) {
        int r;

        /* What is sent is often one small message whose echo somebody waits for. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        r = connection_mark(fd, endpoint->any.sa_family, options);
        if (r < 0)
                return r;
        if (options->source.length != 0) {
                /* Lets connect(2) choose the port, which may serve more than one peer then. */
                (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
                if (bind(fd, &options->source.any, options->source.length) < 0)
                        return -errno;
        }
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return connect(fd, &endpoint->any, endpoint->length) < 0 ? -errno : 0;
}

int connection_begin(const Endpoint *endpoint, const ConnectionOptions *options,
                     bool *ret_pending) {
        int fd, r;

        if (options->source.length != 0 && options->source.any.sa_family != endpoint->any.sa_family)
                return -EAFNOSUPPORT;
        fd = socket(endpoint->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = endpoint->any.sa_family == AF_UNIX ? connection_begin_local(fd, endpoint, options)
                                               : connection_begin_internet(fd, endpoint, options);
        if (r < 0 && r != -EINPROGRESS) {
                close(fd);
                return r;
        }
        *ret_pending = r < 0;
        return fd;
}

int connection_open_endpoint(const Endpoint *endpoint, const ConnectionOptions *options) {
        bool pending = false;
        int fd, r = 0;

        fd = connection_begin(endpoint, options, &pending);
        if (fd < 0)
                return fd;
        if (pending)
                r = connection_wait(fd, options);
        if (r == 0 && fcntl(fd, F_SETFL, 0) < 0)
                r = -errno;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

static void connection_append_error(Failure *failure, int error, const ConnectionOptions *options) {
        char seconds[QUANTITY_TEXT_SIZE];

        failure->kind = failure_kind_from_errno(error);
        if (error == ETIME)
                failure_append(failure, ": no answer within %s s",
                               quantity_format_time(options->timeout, seconds));
        else if (error == EAFNOSUPPORT && options->source.length != 0)
                failure_append(failure, ": the address family differs from that of --source");
        else
                failure_append(failure, ": %s", strerror(error));
}

static int connection_open_local(const Target *target, const ConnectionOptions *options,
                                 uint64_t *ret_start, Failure *failure) {
        Endpoint endpoint;
        const char *why;
        int r;

        r = endpoint_parse_local(target->host, &endpoint, &why);
        *ret_start = instant_now();
        if (r == 0)
                r = connection_open_endpoint(&endpoint, options);
        if (r < 0)
                connection_append_error(failure, -r, options);
        return r;
}

/* Tries the addresses one by one; several failures are named with their addresses. */
static int connection_try_all(const struct addrinfo *addresses, const ConnectionOptions *options,
                              uint64_t *ret_start, Failure *failure) {
        const char *separator = ": ";
        int r = -EHOSTUNREACH;

        for (const struct addrinfo *i = addresses; i != NULL; i = i->ai_next) {
                char text[ENDPOINT_TEXT_SIZE];
                Endpoint endpoint = { .length = i->ai_addrlen };

                memcpy(&endpoint, i->ai_addr, i->ai_addrlen);
                *ret_start = instant_now();
                r = connection_open_endpoint(&endpoint, options);
                if (r >= 0)
                        return r;
                if (addresses->ai_next != NULL) {
                        endpoint_format(&endpoint, text);
                        failure_append(failure, "%s%s", separator, text);
                        separator = ", ";
                }
                connection_append_error(failure, -r, options);
                if (r == -EINTR)
                        return r;
        }
        return r;
}

static int connection_open_internet(const Target *target, const ConnectionOptions *options,
                                    uint64_t *ret_start, Failure *failure) {
        const struct addrinfo hints = { .ai_family = target->family,
                                        .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICSERV };
        char port[sizeof "65535"];
        struct addrinfo *addresses;
        int r;

        snprintf(port, sizeof port, "%hu", target->port);
        r = getaddrinfo(target->host, port, &hints, &addresses);
        if (r != 0) {
                failure->kind = FAILURE_RESOLVE;
                failure_append(failure, ": %s",
                               r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
                return -EHOSTUNREACH;
        }
        r = connection_try_all(addresses, options, ret_start, failure);
        freeaddrinfo(addresses);
        return r;
}

int connection_open(const Target *target, const ConnectionOptions *options, uint64_t *ret_start,
                    Failure *ret_failure) {
        char text[TARGET_TEXT_SIZE];
        Failure failure = {};
        uint64_t start = 0;
        int r;

        target_format(target, text);
        failure_set(&failure, FAILURE_LOCAL, 0, "cannot connect to %s", text);
        r = endpoint_is_local(target->host)
                            ? connection_open_local(target, options, &start, &failure)
                            : connection_open_internet(target, options, &start, &failure);
        if (r < 0)
                *ret_failure = failure;
        else if (ret_start != NULL)
                *ret_start = start;
        return r;
}

int connection_get_peer(int fd, Endpoint *ret_endpoint) {
        struct sockaddr_storage storage;
        Endpoint endpoint = {};
        socklen_t length = sizeof storage;

        if (getpeername(fd, (struct sockaddr *)&storage, &length) < 0)
                return -errno;
        endpoint.length = length < sizeof endpoint.local ? length : sizeof endpoint.local;
        memcpy(&endpoint, &storage, endpoint.length);
        *ret_endpoint = endpoint;
        return 0;
}
