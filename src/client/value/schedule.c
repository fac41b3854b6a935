/* SPDX-License-Identifier: MIT */
/*
 * Distributes the requests of a fixed rate among the workers of a load.
 *
 * The requests of all workers are numbered, and number k is due k / rate seconds after the start.
 * Connections are numbered, too: worker w owns w, w + workers, w + 2 × workers and so on. Request k
 * belongs to connection k modulo the number of connections, and so to that one's worker. Hence each
 * worker gets a part in proportion to its connections, each request belongs to exactly one worker,
 * and the requests of a worker are evenly spaced. The worker itself chooses the connection that
 * carries a request. For a Pace, a request is SCHEDULE_UNIT bytes.
 *
 * All of it is integer arithmetic: no instant may drift, however long a load takes.
 */
#include "client/value/schedule.h"

#include "client/value/pace.h"

uint64_t schedule_due(const Schedule *schedule, uint64_t number) {
        const Pace pace = { .start = schedule->start, .rate = schedule->rate };
        const uint64_t k = number / schedule->own * schedule->connections + schedule->index +
                           number % schedule->own * schedule->workers;

        return pace_due(&pace, k * SCHEDULE_UNIT);
}

uint64_t schedule_count(const Schedule *schedule, uint64_t duration) {
        const Pace pace = { .rate = schedule->rate };
        const uint64_t last = pace_allowance(&pace, duration) / SCHEDULE_UNIT;
        /* The duration excludes the instant of its end. */
        const uint64_t all = last + (pace_due(&pace, last * SCHEDULE_UNIT) < duration);
        uint64_t rest = all % schedule->connections, more = 0;

        if (rest > schedule->index)
                more = (rest - schedule->index + schedule->workers - 1) / schedule->workers;
        return all / schedule->connections * schedule->own + more;
}
