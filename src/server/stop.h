/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"

typedef struct Stop Stop;

/* The time that handlers have to finish once the service stops. Begins as STOP_NONE. */
struct Stop {
        bool begun;
        uint64_t deadline;    /* when the master kills the rest; CLOCK_NEVER for never */
        uint32_t handed_over; /* connections that have moved the deadline */
};

#define STOP_NONE ((Stop){ .deadline = CLOCK_NEVER })

/*
 * stop_begin: Gives handlers 4 seconds from @now on.
 *
 * stop_extend: Gives them @time more, which the master has spent on storing connections.
 *
 * stop_note_handed_over: Notes at @now that so many connections go on without this master,
 * @handed_over in all. Gives the others 2 ms for each one that is new, but at most 4 seconds from
 * now; or a second when systemd has @stored all that are left.
 *
 * stop_expire: Returns true once when the time is over at @now. The caller kills the rest.
 */
void stop_begin(Stop *stop, uint64_t now);
void stop_extend(Stop *stop, uint64_t time);
void stop_note_handed_over(Stop *stop, uint32_t handed_over, bool stored, uint64_t now);
bool stop_expire(Stop *stop, uint64_t now);
