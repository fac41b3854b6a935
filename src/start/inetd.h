/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/failure.h"
#include "report/journal.h"
#include "start/options.h"

/*
 * inetd_serve: Serves @connection in this process until it ends, and writes its records to
 * @journal. Sends READY=1 (sd_notify(3)) first where systemd waits for it. The connection stays
 * open until the process exits.
 *
 * Returns 0 when the connection has ended, for any reason; or a negative errno, with the reason in
 * @ret_failure, when @connection cannot be served as one.
 */
int inetd_serve(int connection, const Options *options, Journal *journal, Failure *ret_failure);
