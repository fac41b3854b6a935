/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/output/report.h"

/* verdict_find_worst: Returns the kind that represents all errors of @report: damage, else the most
 * frequent one that is not the end of the run; FAILURE_NONE without errors. */
FailureKind verdict_find_worst(const Report *report);

/* verdict_set_round_trips: Sets the failure of @report by the counts of its round trips over
 * connections. @wanted is the number to make, 0 for any; @interrupted is whether a signal ended the
 * run. */
void verdict_set_round_trips(Report *report, uint64_t wanted, bool interrupted);

/* verdict_set_flows: Sets the failure of @report if some of its flows lose more than the others, or
 * as verdict_set_unrecognized() does. Else keeps the failure that it has; without one, sets it by
 * the counts as above. */
void verdict_set_flows(Report *report, uint64_t wanted, bool interrupted);

/*
 * verdict_set_datagrams: Sets the failure of @report by the counts of the datagrams of one flow.
 * @wanted and @interrupted are as above; late answers are failures if @timed.
 *
 * verdict_set_unrecognized: Sets the failure of @report for unrecognized answers. Names another
 * service if the report has one. Returns whether there were any.
 */
void verdict_set_datagrams(Report *report, uint64_t wanted, bool interrupted, bool timed);
bool verdict_set_unrecognized(Report *report);
