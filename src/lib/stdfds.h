/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* Puts the standard descriptors, 0 to 2, in order. */

/*
 * stdfds_fill: Opens /dev/null in place of each closed one, so that no socket becomes one of them.
 * Reading from such a stdin and writing to such a stdout are errors. Call first in main().
 *
 * Returns 0, or a negative errno of open(2).
 */
int stdfds_fill(void);

/* stdfds_stderr_is_stdin: Returns whether stderr is the same socket as stdin, as inetd(8) passes
 * it. Text on such a stderr reaches the peer. */
bool stdfds_stderr_is_stdin(void);

/*
 * stdfds_detach: Replaces stdin by /dev/null, and so stdout and stderr if they are sockets.
 *
 * Returns 0, or a negative errno of open(2) or dup2(2).
 */
int stdfds_detach(void);
