/* SPDX-License-Identifier: MIT */
#pragma once

#include <poll.h>
#include <stdint.h>

/* Inquiries: SIGQUIT (^\) and SIGUSR1 print the state of a run, which continues. */

/*
 * inquiry_open: Catches SIGQUIT and SIGUSR1, unless they are ignored. Call it once, before the
 * other functions and before any fork(2).
 *
 * Returns 0, or a negative errno of eventfd(2).
 */
int inquiry_open(void);

/*
 * inquiry_set: Sets the function that inquiry_poll() calls with @userdata for each inquiry; NULL
 * for none.
 *
 * inquiry_ignore: Leaves inquiries to the parent. Call it in each child at once: the terminal sends
 * SIGQUIT to all processes of a job.
 */
void inquiry_set(void (*answer)(void *userdata), void *userdata);
void inquiry_ignore(void);

/*
 * inquiry_poll: Waits with poll(2) for one of the @count descriptors at @polled, at most 1023, or
 * for the instant @end (clock_now(); CLOCK_NEVER for no limit). Answers inquiries meanwhile, and
 * waits on after signals.
 *
 * Returns the number of ready descriptors, 0 when the time is over, or a negative errno of poll(2).
 */
int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end);
