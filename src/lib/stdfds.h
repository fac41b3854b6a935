/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* The standard descriptors, 0 to 2, of a process that somebody else started. */

/*
 * stdfds_fill: opens /dev/null in place of those that are closed, lest a socket that is opened
 * next becomes one of them. First thing in main().
 *
 * Returns 0, or a negative errno of open(2).
 */
int stdfds_fill(void);

/*
 * stdfds_stderr_is_stdin: whether stderr is the same socket as stdin, as inetd(8) passes it:
 * what is written there reaches the peer.
 */
bool stdfds_stderr_is_stdin(void);

/*
 * stdfds_detach: makes stdin /dev/null, and stdout and stderr too where they are the same
 * socket as stdin.
 *
 * Returns 0, or a negative errno of open(2) or dup2(2).
 */
int stdfds_detach(void);
