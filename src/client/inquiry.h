/* SPDX-License-Identifier: MIT */
#pragma once

#include <poll.h>
#include <stdint.h>

/*
 * The wish to know how far a run is: SIGQUIT (^\) and SIGUSR1 are answered, and the run goes on.
 */

/*
 * inquiry_open: catches SIGQUIT and SIGUSR1, unless they are ignored. Call it once, before the
 * other functions and before any fork(2).
 *
 * Returns 0, or a negative errno of eventfd(2).
 */
int inquiry_open(void);

/*
 * inquiry_set: lets inquiry_poll() call @answer with @userdata for each inquiry; NULL for nothing.
 */
void inquiry_set(void (*answer)(void *userdata), void *userdata);

/*
 * inquiry_ignore: leaves inquiries to the parent. Call it in each child at once: the terminal sends
 * SIGQUIT to all processes of a job.
 */
void inquiry_ignore(void);

/*
 * inquiry_poll: waits (poll(2)) until one of the @count descriptors at @polled, at most 63, is
 * ready, or until the instant @end (clock_now(); CLOCK_NEVER for no limit), and answers
 * inquiries meanwhile. Goes on after signals.
 *
 * Returns the number of descriptors that are ready, 0 when the time is over, or a negative errno of
 * poll(2).
 */
int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end);
