/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "restart/restore.h"
#include "server/connections.h"

/*
 * takeover_readmit: Adds the connections of @restore, which is prepared, to the roster, whatever
 * the limits are, and writes the records of connections that ended without a master. Call once,
 * before the first turn. Blocks until systemd has taken the ledger of this run, at most 20 seconds.
 *
 * Returns 0, or a negative errno of ledger_take_bundle(); the connections are lost then.
 *
 * takeover_start: Forks the handlers of these connections. Call next. Blocks until systemd has
 * removed the bundles and ledgers of earlier runs, at most 20 seconds.
 */
int takeover_readmit(Connections *connections, Restore *restore, uint64_t now);
void takeover_start(Connections *connections, Restore *restore, uint64_t now);
