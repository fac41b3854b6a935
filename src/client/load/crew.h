/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "client/load/load.h"
#include "client/value/schedule.h"

/*
 * crew_fail: Counts @error, a positive errno of a connection's, in @page.
 *
 * crew_count_connection: Counts in @page a connection that was begun at the instant @begun.
 */
void crew_fail(LoadPage *page, int error);
void crew_count_connection(LoadPage *page, uint64_t begun);

/*
 * crew_connect: Opens all connections of @plan in parallel, at most 128 at once, each within the
 * time that the options allow. Takes over plan->first.
 *
 * Sets each of the plan's @ret_fds to a non-blocking descriptor that the caller closes, or to a
 * negative errno, which it counts in the plan's page. It does not count the -EINTR that it sets
 * when the page's @stop is set.
 */
void crew_connect(const LoadPlan *plan, int *ret_fds);

/*
 * crew_live: Returns how many of the connections of @plan at @fds have not failed.
 *
 * crew_watch: Returns a descriptor of epoll(7) that waits for @events of these connections, whose
 * data.u64 are their places; or a negative errno.
 */
size_t crew_live(const LoadPlan *plan, const int *fds);
int crew_watch(const LoadPlan *plan, const int *fds, uint32_t events);

/*
 * crew_start: Reports this process as ready and waits for the start. Call it once in each process
 * of a worker.
 *
 * Returns the instant at which the load begins, once it has come; 0 when the parent cancels it.
 */
uint64_t crew_start(const LoadPlan *plan);

/*
 * crew_schedule: Returns the instants of the plan's requests, from @start on.
 *
 * crew_count_overdue: Counts in the page the requests of @schedule before the instant @end, of
 * which the first @begun began, unless the plan has no rate.
 */
Schedule crew_schedule(const LoadPlan *plan, uint64_t start);
void crew_count_overdue(const LoadPlan *plan, const Schedule *schedule, uint64_t begun,
                        uint64_t end);

/* crew_close_window: Copies the counts @elapsed nanoseconds after the start to the page's window,
 * once. The report computes rates from it. */
void crew_close_window(const LoadPlan *plan, uint64_t elapsed);
