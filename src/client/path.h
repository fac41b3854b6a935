/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/connection.h"
#include "client/target.h"
#include "lib/endpoint.h"
#include "lib/failure.h"

typedef struct Path Path;

enum {
        /* Further addresses that failed are only counted. */
        PATH_FAILED_MAXIMUM = 8,
        PATH_FAILED_SIZE = ENDPOINT_TEXT_SIZE + 80,
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
 * path_open: connects to @target. It asks the addresses that getaddrinfo(3) knows for its host
 * until one answers: one after the other in that order, or in a race if @options say so.
 *
 * Returns a socket as connection_open() does and sets @ret_path. Returns a negative errno, sets
 * @ret_failure and adds to the failed addresses of @ret_path when no address answered; the errno is
 * the last address's, those of connection_open().
 */
int path_open(const Target *target, const ConnectionOptions *options, Path *ret_path,
              Failure *ret_failure);
