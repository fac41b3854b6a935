/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/load.h"

/*
 * spray_run: Runs @plan, whose load is of datagrams, and counts in its page. Runs in a process of
 * its own.
 *
 * Returns 0, or a negative errno for a failure of this process as a whole.
 */
int spray_run(const LoadPlan *plan);
