/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report/journal.h"
#include "start/listeners.h"

/* A shortage of descriptors, processes or memory, and the pause in accepting for it. */
typedef struct Backoff {
        int reserve;       /* a descriptor to close in need, or -1 */
        uint64_t pause;    /* how long the last one took; 0 before one that is short */
        uint64_t deadline; /* when this one ends; CLOCK_NEVER when there is none */

        /* For the next record: */
        const Listener *listener; /* whose client failed; NULL when no record is due */
        const char *limit;
        int error;
        uint64_t refused;
        uint64_t logged; /* when the last record was written */
} Backoff;

/* backoff_init: Begins without a back-off and opens the reserve. backoff_deinit: Closes it. */
void backoff_init(Backoff *backoff);
void backoff_deinit(Backoff *backoff);

/* backoff_limit: Returns the resource that ran out when accept4(2) fails with @error:
 * "descriptors", "memory" or, for an unexpected error, "listener"; constant strings. Returns NULL
 * when the connection failed before it was accepted (accept(2)). */
const char *backoff_limit(int error);

/*
 * backoff_refuse: Accepts a client of @listener with the reserved descriptor and resets it.
 *
 * Returns how many clients it refused: 1, or 0 when that failed too.
 */
uint32_t backoff_refuse(Backoff *backoff, const Listener *listener);

/* backoff_begin: Starts a back-off after a connection of @listener failed for want of @limit with
 * the errno @error. Counts @refused clients for the record. */
void backoff_begin(Backoff *backoff, const Listener *listener, const char *limit, int error,
                   uint32_t refused, uint64_t now);

/*
 * backoff_relieve: Ends the back-off after a handler has exited; the next one is longer still.
 *
 * backoff_end: Ends the back-off after a connection got all that it needs; the next one is short.
 */
void backoff_relieve(Backoff *backoff);
void backoff_end(Backoff *backoff);

/*
 * backoff_is_on: Returns whether the master must not accept now.
 *
 * backoff_tick: Ends a back-off that is over at @now, and writes a due RECORD_EXHAUSTED with
 * @live connections. backoff_deadline: Returns when the next tick is due, or CLOCK_NEVER.
 */
bool backoff_is_on(const Backoff *backoff);
void backoff_tick(Backoff *backoff, Journal *journal, uint32_t live, uint64_t now);
uint64_t backoff_deadline(const Backoff *backoff);
