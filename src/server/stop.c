/* SPDX-License-Identifier: MIT */
/*
 * Limits the time of handlers after SIGTERM: 4 seconds in a stop, and 10 after a crash of the
 * master, when the keeper counts (keeper.c). The time in which either stores connections does not
 * count, and each connection handed over adds 2 ms: there may be thousands. Once all are stored,
 * their handlers have at most a second left: a kill loses nothing then. Only the master knows that.
 *
 * Hostile handlers that hand over late, one after the other, must not delay a stop or the start
 * after a crash: each gives 2 ms, and none leaves more than these 4 or 10 seconds.
 */
#include "server/stop.h"

/* How much longer the others may take for each connection that was handed over. */
#define HANDOVER_ALLOWANCE (2 * CLOCK_MILLISECOND)

/* How long handlers whose connections are stored may take to exit. */
#define EXIT_PATIENCE CLOCK_SECOND

void stop_begin(Stop *stop, uint64_t now, uint64_t patience) {
        stop->begun = true;
        stop->patience = patience;
        stop->deadline = now + patience;
}

void stop_extend(Stop *stop, uint64_t time) {
        if (stop->deadline != CLOCK_NEVER)
                stop->deadline += time;
}

void stop_note_handed_over(Stop *stop, uint32_t handed_over, bool stored, uint64_t now) {
        const uint64_t more = (handed_over - stop->handed_over) * HANDOVER_ALLOWANCE;

        if (stop->deadline == CLOCK_NEVER || handed_over == stop->handed_over)
                return;
        stop->handed_over = handed_over;
        stop->deadline = clock_earlier(stop->deadline + more,
                                       now + (stored ? EXIT_PATIENCE : stop->patience));
}

bool stop_expire(Stop *stop, uint64_t now) {
        if (stop->deadline > now)
                return false;
        stop->deadline = CLOCK_NEVER;
        return true;
}
