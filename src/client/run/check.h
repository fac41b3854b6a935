/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* check_run: Sends options->check_size pseudo-random bytes from a process of its own, compares the
 * echo with them, and sets @report to the result. SIGCHLD must have its default disposition. Leaves
 * no process. */
void check_run(const ClientOptions *options, Report *report);
