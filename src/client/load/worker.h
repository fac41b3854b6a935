/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/load.h"

/*
 * worker_run: Makes connections or requests as fast as the service answers, or at a fixed rate,
 * until the plan's duration is over and all requests have ended. Counts in the plan's page.
 *
 * At a fixed rate the time of an answer counts from the instant at which the request was due, even
 * if no connection was free: a stalled service delays everybody who would have come meanwhile.
 *
 * Returns 0, or a negative errno that prevented any work.
 */
int worker_run(const LoadPlan *plan);
