/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/epoll.h>
#include <time.h>

#include "lib/clock.h"

/*
 * In place of the C library's: a clock that only waits move. A test program includes this once, and
 * defines wait_ends().
 */
static uint64_t now = CLOCK_SECOND;

/*
 * wait_ends: Called when a wait of @duration is over. Returns how many @events it has, as
 * epoll_wait(2) does.
 */
static int wait_ends(uint64_t duration, int epoll, struct epoll_event *events, int most);

int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        (void)clock;
        *ret_time = clock_timespec(now);
        return 0;
}

int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                 const sigset_t *mask) {
        const uint64_t duration =
                        (uint64_t)timeout->tv_sec * CLOCK_SECOND + (uint64_t)timeout->tv_nsec;

        assert_null(mask);
        now += duration;
        return wait_ends(duration, epoll, events, most);
}
