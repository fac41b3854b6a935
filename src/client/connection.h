/* SPDX-License-Identifier: MIT */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/failure.h"
#include "client/target.h"
#include "lib/endpoint.h"

typedef struct ConnectionOptions ConnectionOptions;

struct ConnectionOptions {
        /* Nanoseconds that each address has to answer in; 0 for as long as the kernel tries. */
        uint64_t timeout;
        /* The address to connect from, with port 0; of length 0 for the kernel's choice. */
        Endpoint source;
        /* The interface to use (SO_BINDTODEVICE, socket(7)); empty for the kernel's choice. */
        char device[IF_NAMESIZE];
        /* The differentiated services code point (RFC 2474) and the time to live or hop limit of
         * what is sent; 0 for the kernel's. */
        uint64_t dscp;
        uint64_t ttl;
        /* A descriptor of interrupt_open(), or -1. */
        int interrupt;
};

/*
 * connection_open: connects to @target. Every address that getaddrinfo(3) knows for its host is
 * tried, in that order, until one answers.
 *
 * Returns a connected, blocking stream socket that is the caller's to close: close-on-exec, and
 * with TCP_NODELAY (tcp(7)) where it is TCP. Sets @ret_start, which may be NULL, to the instant at
 * which the address that answered was first asked. Returns a negative errno and sets @ret_failure
 * when no address answered; the errno is the last address's, those of connection_open_endpoint().
 */
int connection_open(const Target *target, const ConnectionOptions *options, uint64_t *ret_start,
                    Failure *ret_failure);

/*
 * connection_open_endpoint: like connection_open(), for one address. Returns the socket or a
 * negative errno: -ETIME when the time is over, -EINTR when the interrupt came.
 */
int connection_open_endpoint(const Endpoint *endpoint, const ConnectionOptions *options);

/*
 * connection_begin: begins to connect to @endpoint and does not wait for the end of it, but where
 * there is no such thing, with Unix sockets; those may wait for options->timeout.
 *
 * Returns a non-blocking socket that is the caller's to close, and sets @ret_pending to whether the
 * connection is under way: connection_finish() tells its end once the socket is writable (poll(2)).
 * Returns a negative errno if there will be no connection.
 */
int connection_begin(const Endpoint *endpoint, const ConnectionOptions *options, bool *ret_pending);

/*
 * connection_finish: whether the connection that connection_begin() began on @fd has come about.
 *
 * Returns 0, or a negative errno of connect(2)'s.
 */
int connection_finish(int fd);

/*
 * connection_get_peer: the address that @fd is connected to.
 *
 * Returns 0 and sets @ret_endpoint, or a negative errno of getpeername(2).
 */
int connection_get_peer(int fd, Endpoint *ret_endpoint);
