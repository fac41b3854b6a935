/* SPDX-License-Identifier: MIT */
/*
 * Makes one socket and connects it to one address.
 *
 * A TCP connection comes about in the background: connection_begin() starts it, the socket becomes
 * writable, and connection_finish() returns the result. A Unix socket has no background: either the
 * listener's queue has room, or the caller tries again a moment later. connection_open() is for
 * callers that have time: it waits for the result, at most for the timeout, and returns a blocking
 * socket.
 *
 * Nothing here may block in connect(2), since a load connects while it runs.
 */
#include "client/network/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mptcp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/endpoint.h"
#include "lib/failure.h"

/* The pause before the next attempt at a Unix socket whose queue is full. */
#define CONNECTION_RETRY (5 * CLOCK_MILLISECOND)

static bool connection_is_vsock(int fd) {
        int domain = AF_UNSPEC;

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){ sizeof domain }) == 0 &&
               domain == AF_VSOCK;
}

int connection_finish(int fd) {
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error }) < 0)
                return -errno;
        /* A reset before the connection is there: the listener is missing. With TCP the connection
         * was there. */
        if (error == ECONNRESET && connection_is_vsock(fd))
                error = ECONNREFUSED;
        /* This machine has let the attempt pass; firewalls answer with any ICMP error. */
        if (error != 0 && failure_kind_from_errno(error) == FAILURE_LOCAL)
                error = EHOSTUNREACH;
        return -error;
}

bool connection_is_mptcp(int fd) {
        struct mptcp_info info;

        return getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &info, &(socklen_t){ sizeof info }) == 0;
}

uint64_t connection_end(const ConnectionOptions *options, uint64_t start) {
        uint64_t end = options->timeout == 0 ? CLOCK_NEVER : start + options->timeout;

        return options->end != 0 && options->end < end ? options->end : end;
}

/* Sets the options of the connection's packets and its interface. */
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

int connection_bind(int fd, int family, const ConnectionOptions *options) {
        Endpoint local = options->source;

        if (local.length == 0) {
                local.any.sa_family = (sa_family_t)family;
                local.length = family == AF_INET6 ? sizeof local.ipv6 : sizeof local.ipv4;
        }
        if (options->port == 0) {
                /* connect(2) chooses the port then, which may serve more than one peer. */
                (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
        } else {
                /* Connections of an earlier run may linger. */
                if (!options->datagram)
                        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
                if (family == AF_INET6)
                        local.ipv6.sin6_port = htons(options->port);
                else
                        local.ipv4.sin_port = htons(options->port);
        }
        return bind(fd, &local.any, local.length) < 0 ? -errno : 0;
}

/* Prepares a socket of TCP or UDP. */
static int connection_prepare(int fd, const Endpoint *endpoint, const ConnectionOptions *options) {
        int r;

        /* Somebody waits for the echo of a small message. Other sockets refuse it. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        r = connection_mark(fd, endpoint->any.sa_family, options);
        if (r < 0)
                return r;
        if (options->source.length != 0 || options->port != 0)
                r = connection_bind(fd, endpoint->any.sa_family, options);
        return r;
}

/* Lets the kernel name a Unix socket: a peer cannot answer datagrams without a name. */
static int connection_name(int fd) {
        const sa_family_t family = AF_UNIX;

        return bind(fd, (const struct sockaddr *)&family, sizeof family) < 0 ? -errno : 0;
}

int connection_begin(const Endpoint *endpoint, const ConnectionOptions *options,
                     bool *ret_pending) {
        const int family = endpoint->any.sa_family;
        const bool internet = family == AF_INET || family == AF_INET6;
        int fd, r = 0;

        if (options->source.length != 0 && options->source.any.sa_family != family)
                return -EAFNOSUPPORT;
        fd = socket(family,
                    (options->datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    internet && options->mptcp ? IPPROTO_MPTCP : 0);
        if (fd < 0)
                return -errno;

        /* Urgent bytes of the peer are a surplus like others: they must stay in the stream. */
        (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
        if (internet)
                r = connection_prepare(fd, endpoint, options);
        else if (options->datagram)
                r = connection_name(fd);
        if (r == 0 && connect(fd, &endpoint->any, endpoint->length) < 0)
                r = -errno;
        if (r < 0 && r != -EINPROGRESS) {
                close(fd);
                return r;
        }
        *ret_pending = r < 0;
        return fd;
}

int connection_open(const Endpoint *endpoint, const ConnectionOptions *options) {
        struct pollfd polled[] = { { .fd = options->interrupt, .events = POLLIN },
                                   { .fd = -1, .events = POLLOUT } };
        const uint64_t end = connection_end(options, clock_now());
        bool pending = false, late;
        int r = 0;

        do {
                uint64_t now = clock_now();

                late = now >= end;
                polled[1].fd = connection_begin(endpoint, options, &pending);
                if (!pending && polled[1].fd != -EAGAIN)
                        break;

                /* No event announces room in the queue of a Unix socket. Its last attempt begins at
                 * the end or later: this process may have had no processor. */
                r = inquiry_poll(polled, 2,
                                 pending ? end : clock_earlier(end, now + CONNECTION_RETRY));
                if (r > 0)
                        r = polled[0].revents != 0 ? -EINTR : connection_finish(polled[1].fd);
                else if (r == 0 && (pending || late))
                        r = -ETIME;
        } while (r == 0 && !pending);
        if (r == 0 && polled[1].fd >= 0 && fcntl(polled[1].fd, F_SETFL, 0) < 0)
                r = -errno;
        if (r < 0)
                descriptor_close(polled[1].fd);
        return r < 0 ? r : polled[1].fd;
}
