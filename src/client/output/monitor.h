/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* The states of a monitoring plugin, whose numbers are its exit statuses. */
typedef enum MonitorState {
        MONITOR_OK,
        MONITOR_WARNING,
        MONITOR_CRITICAL,
        MONITOR_UNKNOWN,
} MonitorState;

/* monitor_state: Returns the state of the service by @report and the thresholds in @options:
 * CRITICAL or WARNING beyond them. Lost round trips are WARNING without thresholds for the loss. No
 * answer, a wrong answer and a run that exceeds its time are always CRITICAL. Errors on this side
 * are UNKNOWN. */
MonitorState monitor_state(const Report *report, const ClientOptions *options);

/*
 * monitor_print: Prints one line as monitoring plugins do: the state, a sentence, and performance
 * data, with U for unknown values. The caller checks stdout for errors.
 *
 * monitor_print_unknown: Prints the state UNKNOWN and @why.
 */
void monitor_print(const Report *report, const ClientOptions *options);
void monitor_print_unknown(const char *why);
