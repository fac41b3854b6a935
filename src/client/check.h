/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/client_options.h"
#include "client/report.h"

/*
 * check_run: sends options->check_size pseudo-random bytes in a process of its own, compares what
 * comes back, and says in @report what came of it. SIGCHLD must have its default disposition.
 * No process is left.
 */
void check_run(const ClientOptions *options, Report *report);
