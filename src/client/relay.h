/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/client_options.h"
#include "client/report.h"

/*
 * relay_run: the plain mode. Connects, sends what standard input gives in a process of its own, and
 * writes what comes back to standard output, until the peer has ended. SIGCHLD must have its
 * default disposition; SIGPIPE is ignored from here on.
 *
 * All is well, and @report without a failure, when everything was sent, and what came back is what
 * was sent. No process is left in either case.
 */
void relay_run(const ClientOptions *options, Report *report);
