/* SPDX-License-Identifier: MIT */
/*
 * Spaces the bytes of a stream evenly, for checks and streams with --bandwidth.
 *
 * All limits count from the start, in integers: a sender that is late catches up, and the mean is
 * exact for any length of a run. A sender asks for the next instant, or for the allowance at an
 * instant, and sends pieces of 5 milliseconds.
 *
 * The kernel's own pacing (SO_MAX_PACING_RATE, socket(7)) must not replace it: it ignores Unix
 * sockets and lets the first buffer pass at once.
 */
#include "client/value/pace.h"

#include "lib/clock.h"

enum {
        /* The pieces of a second. */
        PACE_PIECES = 200,
};

uint64_t pace_due(const Pace *pace, uint64_t bytes) {
        uint64_t time, rest;

        if (pace->rate == 0)
                return pace->start;
        time = bytes / pace->rate;
        rest = bytes % pace->rate;
        /* Three more decimal digits of the quotient at a time: no machine of 32 bits has an integer
         * of 128 bits for the product. */
        for (uint64_t unit = 1; unit < CLOCK_SECOND; unit *= 1000) {
                time = time * 1000 + rest * 1000 / pace->rate;
                rest = rest * 1000 % pace->rate;
        }
        return pace->start + time;
}

uint64_t pace_allowance(const Pace *pace, uint64_t now) {
        const uint64_t elapsed = now > pace->start ? now - pace->start : 0;
        const uint64_t seconds = elapsed / CLOCK_SECOND, rest = elapsed % CLOCK_SECOND;

        if (pace->rate == 0)
                return UINT64_MAX;
        return seconds * pace->rate + rest * (pace->rate / CLOCK_SECOND) +
               rest * (pace->rate % CLOCK_SECOND) / CLOCK_SECOND;
}

size_t pace_piece(const Pace *pace, size_t size) {
        uint64_t piece = pace->rate / PACE_PIECES + 1;

        return pace->rate == 0 || piece > size ? size : (size_t)piece;
}
