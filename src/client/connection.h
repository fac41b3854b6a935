/* SPDX-License-Identifier: MIT */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

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
        /* The instant at which everything must be over; 0 for none. */
        uint64_t end;
        /* Whether to ask the addresses of a name in parallel (Happy Eyeballs, RFC 8305) and not one
         * after the other. */
        bool race;
        /* Whether path_open() says on standard error which addresses failed before one
         * answered, and how long it all took. */
        bool warn;
        bool verbose;
};

/*
 * connection_open: connects to @endpoint and waits until the connection is there.
 *
 * Returns a connected, blocking stream socket that is the caller's to close: close-on-exec, and
 * with TCP_NODELAY (tcp(7)) where it is TCP. Returns a negative errno of socket(2) or connect(2),
 * -ETIME when the time is over, -EINTR when the interrupt came, or -EAFNOSUPPORT when the address
 * to connect from is of another family.
 */
int connection_open(const Endpoint *endpoint, const ConnectionOptions *options);

/*
 * connection_begin: begins to connect to @endpoint, and never waits.
 *
 * Returns a non-blocking socket that is the caller's to close, and sets @ret_pending to whether the
 * connection is under way: connection_finish() tells its end once the socket is writable (poll(2)).
 * Returns a negative errno if there will be no connection; -EAGAIN where the queue of a Unix socket
 * is full, and another try may help.
 */
int connection_begin(const Endpoint *endpoint, const ConnectionOptions *options, bool *ret_pending);

/*
 * connection_finish: whether the connection that connection_begin() began on @fd has come about.
 *
 * Returns 0, or a negative errno of connect(2)'s.
 */
int connection_finish(int fd);

/*
 * connection_end: returns the instant at which an address that was asked at @start has had its
 * time; CLOCK_NEVER for no limit.
 */
uint64_t connection_end(const ConnectionOptions *options, uint64_t start);
