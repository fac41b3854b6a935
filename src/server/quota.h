/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"

typedef struct Quota Quota;

/*
 * How many connections each source may have at once. The roster's number of slots limits all
 * connections together.
 */

/*
 * quota_new: Creates a quota for up to @connections connections, 1 to 2^30, of which @per_source
 * from one source; 0 means no limit per source.
 *
 * Returns 0 and sets @ret_quota, which the caller frees with quota_free(); or a negative errno.
 */
int quota_new(uint32_t connections, uint32_t per_source, Quota **ret_quota);

/*
 * quota_free: frees @quota, which may be NULL. Returns NULL.
 */
Quota *quota_free(Quota *quota);

/*
 * quota_charge: counts a connection from @source. Returns whether its limit allowed it; counts
 * nothing if not.
 */
bool quota_charge(Quota *quota, Source source);

/*
 * quota_recharge: counts a connection from @source whatever its limit: it was there before.
 */
void quota_recharge(Quota *quota, Source source);

/*
 * quota_release: a connection from @source that was counted has ended.
 */
void quota_release(Quota *quota, Source source);
