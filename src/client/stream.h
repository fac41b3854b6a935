/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load.h"

/*
 * stream_run: the process that receives from all of the plan's connections, compares what comes
 * with what was sent, and counts in the plan's page; it starts another one that sends as much as
 * the connections take. When the plan's duration is over the sender half-closes them all, and the
 * receiver goes on until everything has come back.
 *
 * Returns 0, or a negative errno that kept it from working at all. The sender is reaped.
 */
int stream_run(const LoadPlan *plan);
