/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/*
 * relay_run: Runs the plain mode: connects, sends standard input from a process of its own, and
 * writes the echo to standard output until the peer ends. SIGCHLD must have its default
 * disposition; SIGPIPE is ignored from here on.
 *
 * Leaves @report without a failure only if it sent all input and received the same bytes. Leaves no
 * process.
 */
void relay_run(const ClientOptions *options, Report *report);
