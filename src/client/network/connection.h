/* SPDX-License-Identifier: MIT */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/network/proxy_header.h"
#include "lib/endpoint.h"

typedef struct ConnectionOptions {
        bool datagram;    /* datagrams (udp(7), or those of unix(7)) instead of a stream */
        uint64_t timeout; /* the limit for each address in nanoseconds; 0 for the kernel's */
        /* The local address (bind(2)), with port 0; length 0 for the kernel's choice. */
        Endpoint source;
        in_port_t port; /* the local port; 0 for the kernel's choice */
        /* The interface to use (SO_BINDTODEVICE, socket(7)); empty for the kernel's choice. */
        char device[IF_NAMESIZE];
        /* The differentiated services code point (RFC 2474) and the time to live or hop limit of
         * sent packets; 0 for the kernel's. */
        uint64_t dscp;
        uint64_t ttl;
        /* Uses Multipath TCP (RFC 8684); the kernel falls back to TCP if the peer lacks it. */
        bool mptcp;
        /* What the callers send first on a new connection, see proxy_header_send(). */
        ProxyHeader proxy_header;
        int interrupt; /* a descriptor of interrupt_open(), or -1 */
        uint64_t end;  /* the end of the whole run; 0 for none */
        /* Tries the addresses of a name in parallel (Happy Eyeballs, RFC 8305), not one after the
         * other. */
        bool race;
        /* Makes path_open() print to standard error the addresses that failed before one answered,
         * and the times of looking up and connecting. */
        bool warn;
        bool verbose;
} ConnectionOptions;

/*
 * connection_open: Connects to @endpoint and waits for the connection.
 *
 * Returns a connected, blocking socket that the caller closes: close-on-exec, and for TCP with
 * TCP_NODELAY (tcp(7)). Returns a negative errno of socket(2), setsockopt(2), bind(2) or
 * connect(2), -ETIME when the time is over, -EINTR when the interrupt is readable, or -EAFNOSUPPORT
 * when the local address is of another family.
 */
int connection_open(const Endpoint *endpoint, const ConnectionOptions *options);

/*
 * connection_begin: Begins to connect to @endpoint, and never waits. A datagram socket is connected
 * at once, whether or not anybody answers.
 *
 * Returns a non-blocking socket that the caller closes, and sets @ret_pending to whether the
 * connection is still under way. The socket becomes writable (poll(2)) at its end, and
 * connection_finish() returns the result. Returns a negative errno of socket(2), setsockopt(2),
 * bind(2) or connect(2); -EAGAIN while the queue of a Unix socket is full: the caller may try
 * again; -EAFNOSUPPORT when the local address is of another family.
 */
int connection_begin(const Endpoint *endpoint, const ConnectionOptions *options, bool *ret_pending);

/*
 * connection_bind: Binds the IP socket @fd of @family to the local address and port of @options. A
 * port may be one that connections of an earlier run still hold (SO_REUSEADDR, socket(7)).
 *
 * Returns 0, or a negative errno of bind(2).
 */
int connection_bind(int fd, int family, const ConnectionOptions *options);

/* connection_finish: Returns the result of connection_begin() on @fd: 0 once connected, or a
 * negative errno of connect(2): -ECONNREFUSED also for a reset of vsock(7), and -EHOSTUNREACH for
 * all errors of the network that would be this machine's otherwise (failure_kind_from_errno()). */
int connection_finish(int fd);

/*
 * connection_is_mptcp: Returns whether @fd, a connected socket, uses Multipath TCP now.
 *
 * connection_end: Returns the instant at which the time of an address that was asked at @start is
 * over; CLOCK_NEVER for no limit.
 */
bool connection_is_mptcp(int fd);
uint64_t connection_end(const ConnectionOptions *options, uint64_t start);
