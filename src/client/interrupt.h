/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * The wish to end early, as a descriptor to poll: ^C, or a polite kill(1), must not cost the user
 * the results so far.
 */

/*
 * interrupt_open: catches the first SIGINT or SIGTERM; the second one has its default action. A
 * signal that is ignored stays so. System calls that wait are not restarted: they fail with EINTR.
 * Children inherit both. Call it once.
 *
 * Returns a descriptor that becomes and stays readable once a signal has come, close-on-exec; or a
 * negative errno of eventfd(2).
 */
int interrupt_open(void);

/*
 * interrupt_is_due: whether @fd, of interrupt_open(), is readable; false for -1.
 */
bool interrupt_is_due(int fd);

/*
 * interrupt_clear: makes @fd unreadable until another signal is caught.
 */
void interrupt_clear(int fd);
