/* SPDX-License-Identifier: MIT */
#include "client/instant.h"

#include <time.h>

uint64_t instant_now(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * INSTANT_SECOND + (uint64_t)now.tv_nsec;
}

int instant_timeout(uint64_t now, uint64_t then) {
        uint64_t milliseconds;

        if (then == INSTANT_NEVER)
                return -1;
        if (then <= now)
                return 0;
        milliseconds = (then - now + INSTANT_MILLISECOND - 1) / INSTANT_MILLISECOND;
        return milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds;
}
