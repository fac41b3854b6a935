/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/failure.h"
#include "report/journal.h"
#include "server/options.h"

/*
 * Serving the one connection that was passed, in this process: inetd's "nowait" and systemd's
 * Accept=yes.
 *
 * inetd_serve: serves @connection, which it takes over, and writes what becomes of it to @journal.
 * Sends READY=1 (sd_notify(3)) first where systemd waits for it.
 *
 * Returns 0 when the connection has ended, however, also when the peer has reset it before; a
 * negative errno with the reason in @ret_failure when it could not be served.
 */
int inetd_serve(int connection, const Options *options, Journal *journal, Failure *ret_failure);
