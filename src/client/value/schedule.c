/* SPDX-License-Identifier: MIT */
/*
 * Distributes the requests of a fixed rate among the workers of a load.
 *
 * The requests of all workers are numbered, and number k is due k / rate seconds after the start.
 * Connections are numbered, too: worker w owns w, w + workers, w + 2 × workers and so on. Request k
 * belongs to connection k modulo the number of connections, and so to that one's worker. Hence each
 * worker gets a part in proportion to its connections, each request belongs to exactly one worker,
 * and the requests of a worker are evenly spaced. The worker itself chooses the connection that
 * carries a request.
 *
 * All of it is integer arithmetic: no instant may drift, however long a load takes.
 */
#include "client/value/schedule.h"

#include "lib/clock.h"

uint64_t schedule_due(const Schedule *schedule, uint64_t number) {
        uint64_t k = number / schedule->own * schedule->connections + schedule->index +
                     number % schedule->own * schedule->workers;

        return schedule->start +
               (uint64_t)((unsigned __int128)k * SCHEDULE_UNIT * CLOCK_SECOND / schedule->rate);
}

uint64_t schedule_count(const Schedule *schedule, uint64_t duration) {
        const uint64_t unit = SCHEDULE_UNIT * CLOCK_SECOND;
        /* The duration excludes the instant of its end. */
        uint64_t all = (uint64_t)(((unsigned __int128)duration * schedule->rate + unit - 1) / unit);
        uint64_t rest = all % schedule->connections, more = 0;

        if (rest > schedule->index)
                more = (rest - schedule->index + schedule->workers - 1) / schedule->workers;
        return all / schedule->connections * schedule->own + more;
}
