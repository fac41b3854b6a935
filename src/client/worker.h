/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load.h"

/*
 * worker_run: the process that makes connections or requests as fast as they are answered, or at a
 * fixed rate, until the plan's duration is over and everything begun has ended. Counts in the
 * plan's page.
 *
 * At a fixed rate the time of an answer counts from the instant at which the request was due, not
 * from that at which a connection was free for it: a service that stalls makes everybody wait who
 * would have come meanwhile.
 *
 * Returns 0, or a negative errno that kept it from working at all.
 */
int worker_run(const LoadPlan *plan);
