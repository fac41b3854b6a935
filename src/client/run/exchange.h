/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* exchange_run: Pings or checks with datagrams, as the mode of @options says, and sets @report to
 * the result. A ping sends on a schedule that no lost answer holds back; a check sends as many as
 * may be open at once. */
void exchange_run(const ClientOptions *options, Report *report);
