/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/roster.h"

/* Finds the handlers that have ended. */
typedef struct Reaper {
        Roster *roster;
        uint32_t *leaving; /* slots whose handlers have announced an exit and are not reaped yet */
        uint32_t most;     /* room in @leaving */
        uint32_t n;
        uint32_t next; /* slots before it are left for this turn */
        uint32_t vain; /* handlers of this turn that had not ended */
        uint64_t now;
        uint64_t pause_until;    /* no sweep before this instant */
        uint64_t sweep_deadline; /* when to sweep; CLOCK_NEVER when no handler can have ended */
} Reaper;

/*
 * reaper_init: Begins with the handlers in @roster, which stays the caller's.
 *
 * Returns 0, or a negative errno; @reaper needs reaper_deinit() in any case.
 */
int reaper_init(Reaper *reaper, Roster *roster);
void reaper_deinit(Reaper *reaper);

/* reaper_begin: Begins a turn at @now, after a SIGCHLD or at the deadline. */
void reaper_begin(Reaper *reaper, uint64_t now);

/*
 * reaper_next: Reaps a child that has ended: the handler of a connection, which the caller removes
 * from the roster, or another one.
 *
 * Returns its process ID and sets @ret_status (waitpid(2)); 0 when the turn is over.
 */
pid_t reaper_next(Reaper *reaper, int *ret_status);

/* reaper_kill_child: Kills the process @pid if it is a child, a handler of any kind. It has sent
 * the master a signal that only systemd or an administrator may send, or something else than a
 * channel that it may open. Returns whether it is one. */
bool reaper_kill_child(pid_t pid);

/* reaper_deadline: Returns when a turn is due without a SIGCHLD, or CLOCK_NEVER. */
uint64_t reaper_deadline(const Reaper *reaper);
