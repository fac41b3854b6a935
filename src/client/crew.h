/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "client/load.h"

/*
 * crew_fail: counts @error, a positive errno of a connection's, in @page.
 */
void crew_fail(LoadPage *page, int error);

/*
 * crew_count_connection: counts in @page a connection that was asked for at the instant @begun.
 */
void crew_count_connection(LoadPage *page, uint64_t begun);

/*
 * crew_connect: opens all connections of @plan at the same time, as many as 128 at once. Each has
 * the time to connect that the plan's options give it. Takes the plan's first one.
 *
 * Sets each of the plan's @ret_fds to a non-blocking descriptor, or to a negative errno, which is
 * counted in the plan's page; -EINTR when the page says to stop, which is not counted.
 */
void crew_connect(const LoadPlan *plan, int *ret_fds);

/*
 * crew_start: says that this process is ready, and waits until all workers are. Call it once in
 * each process of a worker.
 *
 * Returns the instant at which the load begins and that has come, or 0 when it does not.
 */
uint64_t crew_start(const LoadPlan *plan);

/*
 * crew_close_window: notes in the plan's page, once, what has been counted @elapsed nanoseconds
 * after the start. Rates are computed from that.
 */
void crew_close_window(const LoadPlan *plan, uint64_t elapsed);
