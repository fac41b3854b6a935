/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report/journal.h"
#include "server/listeners.h"

typedef struct Exhaustion Exhaustion;

/*
 * What to do when the machine has run out of what a connection needs: refuse one client with the
 * help of a descriptor held in reserve, then leave the listeners alone for 10 ms, twice as long
 * each time in a row, up to a second, or until a handler gives something back. It is told at most
 * once a second.
 */
struct Exhaustion {
        int reserve;            /* a descriptor to give up, or -1 */
        uint64_t back_off_usec; /* how long the next back-off takes */
        uint64_t deadline;      /* when this one ends; CLOCK_NEVER when there is none */

        const Listener *listener; /* where it was seen; NULL when there is nothing to tell */
        const char *limit;
        int error;
        uint64_t refused;
        uint64_t told; /* when it was last told */
};

/*
 * exhaustion_init: nothing is exhausted. Opens the reserve; the caller gives it back with
 * exhaustion_deinit().
 */
void exhaustion_init(Exhaustion *exhaustion);
void exhaustion_deinit(Exhaustion *exhaustion);

/*
 * exhaustion_limit: what is lacking when accept4(2) fails with @error: "descriptors", "memory" or,
 * for what should not happen, "listener"; constant strings. NULL when only the connection failed
 * before it was accepted, as accept(2) tells of TCP.
 */
const char *exhaustion_limit(int error);

/*
 * exhaustion_refuse: accepts a connection from @listener with the reserve and resets it.
 *
 * Returns how many clients were refused: 1, or 0 when that failed too.
 */
uint32_t exhaustion_refuse(Exhaustion *exhaustion, const Listener *listener);

/*
 * exhaustion_begin: a connection of @listener could not be taken because of @limit, @error being
 * the errno, and
 * @refused clients were refused: nothing is accepted until exhaustion_deadline().
 */
void exhaustion_begin(Exhaustion *exhaustion, const Listener *listener, const char *limit,
                      int error, uint32_t refused, uint64_t now);

/*
 * exhaustion_relieve: a handler has given something back: ends the back-off, though not its growth.
 *
 * exhaustion_end: a connection got all that it needs: the next back-off is a short one again.
 */
void exhaustion_relieve(Exhaustion *exhaustion);
void exhaustion_end(Exhaustion *exhaustion);

/*
 * exhaustion_backs_off: whether nothing is to be accepted now.
 */
bool exhaustion_backs_off(const Exhaustion *exhaustion);

/*
 * exhaustion_tick: ends the back-off when it is over at @now, and writes a RECORD_EXHAUSTED when
 * one is due, with
 * @live as the number of connections. exhaustion_deadline: when that is next, or CLOCK_NEVER.
 */
void exhaustion_tick(Exhaustion *exhaustion, Journal *journal, uint32_t live, uint64_t now);
uint64_t exhaustion_deadline(const Exhaustion *exhaustion);

/*
 * connection_reset: closes the connection @fd with a reset, so that the peer knows at once that
 * nobody serves it (SO_LINGER, socket(7)).
 */
void connection_reset(int fd);
