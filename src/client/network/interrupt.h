/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The wish to end early, as a descriptor to poll: SIGINT and SIGTERM end a run with its results. */

/*
 * interrupt_open: Catches the first SIGINT or SIGTERM; the second one has its default action. The
 * same signal that the same process sends again within a second is part of the first one. An
 * ignored signal stays ignored. Blocking system calls are not restarted: they fail with EINTR.
 * Children inherit all of it. Call it once.
 *
 * Returns a close-on-exec descriptor that the first signal makes readable, or a negative errno of
 * eventfd(2). It stays readable until interrupt_clear().
 */
int interrupt_open(void);

/*
 * interrupt_is_due: Returns whether @fd, of interrupt_open(), is readable; false for -1.
 *
 * interrupt_instant: Returns the instant (clock_now()) of the first signal, CLOCK_NEVER before it.
 * That is the end of the run: answers that came before it count.
 *
 * interrupt_clear: Makes @fd unreadable until another signal is caught.
 */
bool interrupt_is_due(int fd);
uint64_t interrupt_instant(void);
void interrupt_clear(int fd);
