/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"

/* The time that handlers have to finish once the service stops, or its master was killed. Begins as
 * STOP_NONE. */
typedef struct Stop {
        bool begun;
        uint64_t patience;    /* how long handlers may take */
        uint64_t deadline;    /* when to kill the rest; CLOCK_NEVER for never */
        uint32_t handed_over; /* connections that have moved the deadline */
} Stop;

#define STOP_NONE ((Stop){ .deadline = CLOCK_NEVER })

/* How long handlers may take in a stop, also when the master is killed meanwhile. */
#define STOP_PATIENCE (4 * CLOCK_SECOND)

/*
 * stop_begin: Gives handlers @patience from @now on: STOP_PATIENCE, or more after a crash.
 *
 * stop_extend: Gives them @time more, which was spent on storing connections. Does
 * nothing before stop_begin() and after the time is over.
 *
 * stop_note_handed_over: Notes at @now that @handed_over connections in all go on without this
 * master. Gives the other handlers 2 ms for each new one, but at most @patience from @now. @stored:
 * systemd has all connections that are left, whose handlers then have at most a second.
 *
 * stop_expire: Returns true once when the time is over at @now. The caller kills the rest.
 */
void stop_begin(Stop *stop, uint64_t now, uint64_t patience);
void stop_extend(Stop *stop, uint64_t time);
void stop_note_handed_over(Stop *stop, uint32_t handed_over, bool stored, uint64_t now);
bool stop_expire(Stop *stop, uint64_t now);
