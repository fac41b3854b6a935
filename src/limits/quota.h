/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"

typedef struct Quota Quota;

/* Limits the live connections of each source. The master limits all connections together. */

/*
 * quota_new: Creates a quota for up to @connections connections, 1 to 2^30, of which @per_source
 * from one source; 0 means no limit per source.
 *
 * Returns 0 and sets @ret_quota, which the caller frees with quota_free(); or a negative errno.
 */
int quota_new(uint32_t connections, uint32_t per_source, Quota **ret_quota);
Quota *quota_free(Quota *quota);

/*
 * quota_charge: Counts a connection from @source if its limit allows. Returns whether it did.
 *
 * quota_recharge: Counts a restored connection from @source, whatever the limit.
 *
 * quota_release: Uncounts a connection from @source, which must be counted.
 */
bool quota_charge(Quota *quota, Source source);
void quota_recharge(Quota *quota, Source source);
void quota_release(Quota *quota, Source source);
