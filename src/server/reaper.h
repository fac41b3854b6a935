/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/roster.h"

typedef struct Reaper Reaper;

/*
 * Which handlers have ended.
 *
 * waitpid(2) for any child looks at one after the other until it finds one that has ended: with ten
 * thousand connections the end of one would take a millisecond. So handlers tell that they are
 * about to exit, see roster_tell_exit(), and these are looked at. One that was killed has not told,
 * and one that was taken over may tell anything: now and then all are looked at, while there are
 * few at once, and else so often that it takes a hundredth of the time, once a second at least.
 */
struct Reaper {
        Roster *roster;
        uint32_t *leaving; /* slots of handlers that have told and are not reaped */
        uint32_t most;     /* room for so many */
        uint32_t n;
        uint32_t next; /* those before it are still to be looked at in this turn */
        bool told;     /* whether there were any in this turn */
        uint64_t now;
        uint64_t rest_until;     /* not to look at all before */
        uint64_t sweep_deadline; /* when to look at all; CLOCK_NEVER when nobody can have ended */
};

/*
 * reaper_init: for the handlers in @roster, which stays the caller's. @slots: its size.
 *
 * Returns 0, or a negative errno; @reaper needs reaper_deinit() in any case.
 */
int reaper_init(Reaper *reaper, Roster *roster, uint32_t slots);
void reaper_deinit(Reaper *reaper);

/*
 * reaper_begin: begins a turn at @now, after SIGCHLD or when it is due.
 */
void reaper_begin(Reaper *reaper, uint64_t now);

/*
 * reaper_next: reaps a handler that has ended; children that are none are reaped as well, at the
 * latest after the next SIGCHLD that is not a handler's.
 *
 * Returns its slot, which the caller gives back, and sets @ret_status (waitpid(2)); ROSTER_NONE
 * when the turn is over.
 */
uint32_t reaper_next(Reaper *reaper, int *ret_status);

/*
 * reaper_deadline: when a turn is due without a SIGCHLD, or CLOCK_NEVER.
 */
uint64_t reaper_deadline(const Reaper *reaper);
