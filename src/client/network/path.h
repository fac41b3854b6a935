/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/network/connection.h"
#include "client/network/resolve.h"
#include "lib/endpoint.h"
#include "lib/failure.h"

enum {
        /* Path keeps this many failed addresses, and counts no more. */
        PATH_FAILED_MAXIMUM = 8,
        PATH_FAILED_SIZE = ENDPOINT_TEXT_SIZE + 80,
};

/* The addresses and times of a connection. */
typedef struct Path {
        /* The address that answered, as passed to connect(2), and as text. */
        Endpoint endpoint;
        char peer[ENDPOINT_TEXT_SIZE];
        char local[ENDPOINT_TEXT_SIZE]; /* the local address, as text */
        /* The instant of connect(2); nanoseconds of looking up the name and of connecting to this
         * address. */
        uint64_t start;
        uint64_t resolve;
        uint64_t connect;
        /* The addresses that failed before, and this one if it fell back to TCP, one line each. */
        size_t failed_count;
        char failed[PATH_FAILED_MAXIMUM][PATH_FAILED_SIZE];
} Path;

/*
 * path_resolve: Finds the first address of @target in the order of getaddrinfo(3), and sends it
 * nothing.
 *
 * Returns 0 and sets the endpoint, @peer and @resolve of @ret_path. Otherwise sets @ret_failure and
 * returns a negative errno of bind(2) to the local address or of resolve_target().
 */
int path_resolve(const Target *target, const ConnectionOptions *options, Path *ret_path,
                 Failure *ret_failure);

/*
 * path_open: Connects to @target. Tries the addresses of getaddrinfo(3) until one answers: one
 * after the other in that order, or in a race if @options say so.
 *
 * Returns a socket as connection_open() does, on which proxy_header_send() has been called, and
 * sets @ret_path. Otherwise sets @ret_failure and the failed addresses of @ret_path, and returns a
 * negative errno: that of bind(2) to the local address, of resolve_target(), of connection_open()
 * for the last address, or of proxy_header_send().
 */
int path_open(const Target *target, const ConnectionOptions *options, Path *ret_path,
              Failure *ret_failure);
