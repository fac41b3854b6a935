/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/load.h"

/*
 * stream_run: Receives from all connections of the plan, compares the bytes with the sent ones, and
 * counts in the plan's page. A child sends as much as the connections take. After the plan's
 * duration the child half-closes them, and this process receives until each has ended.
 *
 * Returns 0, or a negative errno that prevented any work. Reaps the child.
 */
int stream_run(const LoadPlan *plan);
