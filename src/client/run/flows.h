/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* flows_run: Measures round trips from as many local ports as @options ask for, all in turn, each
 * over a connection or by datagrams. Counts them in @report, and judges which flows lose more than
 * the others. The results of the flows in @report stay allocated. */
void flows_run(const ClientOptions *options, Report *report);
