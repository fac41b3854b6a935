/* SPDX-License-Identifier: MIT */
/*
 * Reads the monotonic clock. All deadlines and durations use it, so no change of the time of day
 * makes a time-out early or late.
 *
 * The event loops of both programs work alike: each part names the instant of its next deadline, or
 * CLOCK_NEVER, and the loop waits until the earliest. clock_timeout() rounds up, so that a loop
 * does not wake before its deadline and spin until then.
 *
 * A shortage must not keep a process busy that tries again: clock_pause() lengthens the pauses.
 *
 * Most functions take the instant @now as a parameter instead of calling clock_now(), so that all
 * parts of a turn agree and tests move the clock. What only computes is in the header: a test that
 * replaces clock_now() cannot link this file. Nothing here may read the time of day.
 */
#include "lib/clock.h"

#include <errno.h>
#include <time.h>

uint64_t clock_now(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}

void clock_sleep(uint64_t then) {
        const struct timespec until = clock_timespec(then);

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
                ;
}
