/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

/* Instants and durations in nanoseconds. Instants are those of CLOCK_MONOTONIC (clock_gettime(2)),
 * which no change of the time of day moves. */

#define CLOCK_MICROSECOND UINT64_C(1000)
#define CLOCK_MILLISECOND UINT64_C(1000000)
#define CLOCK_SECOND      UINT64_C(1000000000)
#define CLOCK_NEVER       UINT64_MAX

/* clock_now: Returns this instant. */
uint64_t clock_now(void);

/* clock_earlier: Returns the earlier of two instants, or the shorter of two durations. Either may
 * be CLOCK_NEVER. */
static inline uint64_t clock_earlier(uint64_t one, uint64_t other) {
        return one < other ? one : other;
}

/* clock_timeout: Returns the milliseconds from @now to @then, rounded up, for poll(2): 0 when @then
 * is past, -1 when it is CLOCK_NEVER. */
static inline int clock_timeout(uint64_t now, uint64_t then) {
        uint64_t milliseconds;

        if (then == CLOCK_NEVER)
                return -1;
        if (then <= now)
                return 0;
        milliseconds = (then - now - 1) / CLOCK_MILLISECOND + 1;
        return milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds;
}

/* clock_pause: Returns how long to pause before another attempt, as long as attempts fail: 10 ms
 * with the @last pause 0, for none, and then twice the @last one, up to a second. */
static inline uint64_t clock_pause(uint64_t last) {
        return last == 0 ? 10 * CLOCK_MILLISECOND : clock_earlier(2 * last, CLOCK_SECOND);
}

/* clock_timespec: Returns the instant or duration @time as system calls take it. */
static inline struct timespec clock_timespec(uint64_t time) {
        return (struct timespec){ .tv_sec = (time_t)(time / CLOCK_SECOND),
                                  .tv_nsec = (long)(time % CLOCK_SECOND) };
}

/* clock_seconds: Returns the duration @time in seconds, for texts. */
static inline double clock_seconds(uint64_t time) {
        return (double)time / (double)CLOCK_SECOND;
}

/* clock_sleep: Waits until the instant @then, through signals too (clock_nanosleep(2)). */
void clock_sleep(uint64_t then);
