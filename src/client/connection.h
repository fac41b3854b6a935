/* SPDX-License-Identifier: MIT */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/target.h"
#include "lib/endpoint.h"
#include "lib/failure.h"

typedef struct ConnectionOptions ConnectionOptions;
typedef struct Path Path;

enum {
        /* Further addresses that failed are only counted. */
        PATH_FAILED_MAXIMUM = 8,
        PATH_FAILED_SIZE = ENDPOINT_TEXT_SIZE + 80,
};

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
        /* The instant at which everything must be over; 0 for none. */
        uint64_t end;
        /* Whether to ask the addresses of a name in parallel (Happy Eyeballs, RFC 8305) and not one
         * after the other. */
        bool race;
        /* Whether connection_open() says on standard error which addresses failed before one
         * answered, and how long it all took. */
        bool warn;
        bool verbose;
};

/*
 * How a connection came about.
 */
struct Path {
        /* The address that answered, as it was asked, and as text. */
        Endpoint endpoint;
        char peer[ENDPOINT_TEXT_SIZE];
        /* The own address, as text. */
        char local[ENDPOINT_TEXT_SIZE];
        /* The instant at which it was asked; nanoseconds that looking up the name and connecting to
         * this address took. */
        uint64_t start;
        uint64_t resolve;
        uint64_t connect;
        /* The addresses that failed before, a line for each. */
        size_t failed_count;
        char failed[PATH_FAILED_MAXIMUM][PATH_FAILED_SIZE];
};

/*
 * connection_open: connects to @target. It asks the addresses that getaddrinfo(3) knows for its
 * host, in that order, until one answers.
 *
 * Returns a connected, blocking stream socket that is the caller's to close: close-on-exec, and
 * with TCP_NODELAY (tcp(7)) where it is TCP. Sets @ret_path. Returns a negative errno, sets
 * @ret_failure and adds to the failed addresses of @ret_path when no address answered; the errno is
 * the last address's, those of connection_open_endpoint().
 */
int connection_open(const Target *target, const ConnectionOptions *options, Path *ret_path,
                    Failure *ret_failure);

/*
 * connection_open_endpoint: like connection_open(), for one address. Returns the socket or a
 * negative errno: -ETIME when the time is over, -EINTR when the interrupt came, -ELOOP when
 * the kernel connected the socket to itself.
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
