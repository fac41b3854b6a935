/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/client_options.h"
#include "client/report.h"

typedef enum MonitorState MonitorState;

/* The states of a monitoring plugin, whose numbers are its exit statuses. */
enum MonitorState {
        MONITOR_OK,
        MONITOR_WARNING,
        MONITOR_CRITICAL,
        MONITOR_UNKNOWN,
};

/*
 * monitor_state: what @report means, given the thresholds in @options: CRITICAL or WARNING beyond
 * them. Without thresholds for the loss some lost round trips are WARNING. CRITICAL also when none
 * was answered, an answer was wrong, or the time was over too early; UNKNOWN when the reason lies
 * on this side.
 */
MonitorState monitor_state(const Report *report, const ClientOptions *options);

/*
 * monitor_print: prints the state as monitoring plugins do, in one line: the state, a sentence, and
 * performance data, in which U stands for what is not known. Errors are left to be found in stdout.
 */
void monitor_print(const Report *report, const ClientOptions *options);

/*
 * monitor_print_unknown: prints that @why keeps the state from being known.
 */
void monitor_print_unknown(const char *why);
