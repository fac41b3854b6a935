/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"

typedef struct Limits Limits;

/*
 * How many connections a source may have at once, and how long to leave the listeners alone when
 * the machine has run out of what a connection needs. The limit on all connections is the roster's
 * number of slots.
 */

/*
 * limits_new: limits for up to @connections connections, 1 to 2^30, of which @per_source from one
 * source; 0 means no limit per source.
 *
 * Returns 0 and sets @ret_limits, which the caller frees with limits_free(); or a negative errno.
 */
int limits_new(uint32_t connections, uint32_t per_source, Limits **ret_limits);

/*
 * limits_free: frees @limits, which may be NULL. Returns NULL.
 */
Limits *limits_free(Limits *limits);

/*
 * limits_enter: counts a connection from @source. Returns whether its limit allowed it; counts
 * nothing if not.
 */
bool limits_enter(Limits *limits, Source source);

/*
 * limits_readmit: counts a connection from @source whatever its limit: it was there before.
 */
void limits_readmit(Limits *limits, Source source);

/*
 * limits_leave: a connection from @source that was counted has ended.
 */
void limits_leave(Limits *limits, Source source);
