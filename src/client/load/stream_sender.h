/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/load.h"
#include "client/load/reel.h"

/*
 * stream_sender_run: Sends the bytes of @reel on the connections of @plan at @fds, of which those
 * below 0 have failed: as many as they take or --bandwidth allows, from the start to the end of the
 * plan's duration. Then half-closes all of them. Counts in the page, and in its @sent what it has
 * sent on each connection and the error that ended it.
 *
 * Runs in a process of its own, forked by @parent, and ends it: with status 0, or an errno without
 * a start. It does not outlive @parent.
 */
_Noreturn void stream_sender_run(const LoadPlan *plan, const int *fds, const Reel *reel,
                                 pid_t parent);
