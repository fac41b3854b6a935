/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "restart/restore.h"
#include "server/connections.h"

/*
 * takeover_run: Takes over the connections of @restore, which is prepared, whatever the limits are,
 * and writes the records of connections that ended without a master. Call once, before the first
 * turn. Blocks until systemd has taken the ledger of this run and removed those of earlier runs, at
 * most 20 seconds each.
 *
 * Returns 0, or a negative errno of ledger_take_bundle(); the connections are lost then.
 */
int takeover_run(Connections *connections, Restore *restore, uint64_t now);
