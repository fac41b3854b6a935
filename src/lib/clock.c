/* SPDX-License-Identifier: MIT */
/*
 * Reads the monotonic clock in microseconds. All deadlines use it, and none the time of day.
 */
#include "lib/clock.h"

#include <time.h>

uint64_t clock_now(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_earlier(uint64_t one, uint64_t other) {
        return one < other ? one : other;
}
