/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "client/network/connection.h"
#include "lib/failure.h"

/*
 * ports_choose: Finds @count neighbouring local ports that sockets of @family can bind to the local
 * address of @options, from @first on; 0 for any free ones from 61000 on, which must be fewer
 * than 4535.
 *
 * Returns 0 and sets @ret_first to the first of them. Otherwise sets @ret_failure and returns a
 * negative errno of socket(2) or bind(2), -EADDRINUSE without such ports, or that of getrandom(2).
 */
int ports_choose(int family, const ConnectionOptions *options, uint64_t first, uint64_t count,
                 uint64_t *ret_first, Failure *ret_failure);
