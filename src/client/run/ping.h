/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* ping_run: Measures round trips one after the other, on one connection or each on a new one.
 * Counts them in @report, and prints a line for each unless @options forbid it. Replaces a failed
 * connection at the next round trip. */
void ping_run(const ClientOptions *options, Report *report);
