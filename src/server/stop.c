/* SPDX-License-Identifier: MIT */
/*
 * Limits the time of a stop. Handlers have 4 seconds after SIGTERM. The time in which the master
 * stores connections does not count, and each connection handed over adds 2 ms: there may be
 * thousands. Once all are stored, their handlers have at most a second left: a kill loses nothing
 * then.
 *
 * Hostile handlers that hand over late, one after the other, must not delay a stop: each gives 2
 * ms, and none leaves more than 4 seconds.
 *
 * systemd kills the service after 5 seconds (TimeoutStopSec= in mpecho.service), a second after the
 * deadline, unless the master asks for more, or the keeper without a master. Handlers cannot: so
 * they have no more time when both are gone.
 */
#include "server/stop.h"

/* How long handlers may take after SIGTERM. */
#define STOP_PATIENCE (4 * CLOCK_SECOND)

/* How much longer the master waits for each connection that was handed over. */
#define HANDOVER_ALLOWANCE (2 * CLOCK_MILLISECOND)

/* How long after the deadline the service manager kills all. */
#define MANAGER_PATIENCE CLOCK_SECOND

/* How far the deadline moves before the service manager hears of it. */
#define NEWS (CLOCK_SECOND / 4)

/* How long handlers whose connections are stored may take to exit. */
#define EXIT_PATIENCE CLOCK_SECOND

void stop_begin(Stop *stop, uint64_t now) {
        stop->begun = true;
        stop->deadline = stop->told = now + STOP_PATIENCE;
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
                                       now + (stored ? EXIT_PATIENCE : STOP_PATIENCE));
}

bool stop_expire(Stop *stop, uint64_t now) {
        if (stop->deadline > now)
                return false;
        stop->deadline = CLOCK_NEVER;
        return true;
}

uint64_t stop_news(const Stop *stop, uint64_t now) {
        const bool over = stop->deadline == CLOCK_NEVER;

        if (!stop->begun || stop->told == CLOCK_NEVER ||
            (!over && stop->deadline < stop->told + NEWS))
                return 0;
        return MANAGER_PATIENCE +
               (over ? STOP_PATIENCE : stop->deadline - clock_earlier(now, stop->deadline));
}

void stop_note_told(Stop *stop) {
        stop->told = stop->deadline;
}
