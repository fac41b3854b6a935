/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/connections.h"

/*
 * resume: takes back the connections that the last process of this service left in systemd's store,
 * @stored, and the counts that it left there; has connections handed over from now on; and puts the
 * roster into the store, for the time after a crash.
 *
 * Forks a handler for each connection and writes a RECORD_RESUMED, and a RECORD_CLOSED for each
 * connection that ended while there was no master. Those beyond --max-connections are kept, and new
 * ones wait. A roster that is not one, or of another version, is told by a RECORD_RECOUNTED, and
 * counts begin anew.
 *
 * @stored, the listeners', is emptied.
 *
 * Returns 0; or -ENOMEM before anything was done: everything is still in the store then.
 */
int resume(Connections *connections, Stored *stored, Journal *journal);
