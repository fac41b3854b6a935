/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "restart/handover.h"
#include "restart/ledger.h"

/* The process that stores connections when the master does not: it was killed, or hangs. It begins
 * with the master, waits for handlers, and ends when the master and all handlers have ended. */
typedef struct Keeper {
        pid_t pid;        /* 0 without a keeper */
        int fd;           /* readable when the keeper has ended; -1 without one */
        int end;          /* of a pipe to the keeper; -1 without one */
        Endpoint address; /* where handlers open channels (handover.h) */
} Keeper;

#define KEEPER_NONE ((Keeper){ .fd = -1, .end = -1 })

/*
 * keeper_start: Forks the keeper of the run with number @run, which takes the connections in
 * @ledger from their handlers. Call before handler_init(), whose filter refuses the socket that the
 * keeper needs for systemd.
 *
 * Returns 0, or a negative errno; @keeper, which begins as KEEPER_NONE, needs keeper_end() in any
 * case.
 *
 * keeper_note_stop: Notes that the service stops: if the master is killed from now on, its handlers
 * have STOP_PATIENCE (stop.h), and more after a crash. Call once, when the stop begins.
 *
 * keeper_end: Ends the keeper and reaps it, unless something else has. Call when no handler lives:
 * none could store its connection any more.
 */
int keeper_start(Keeper *keeper, uint64_t run, Ledger *ledger);
void keeper_note_stop(const Keeper *keeper);
void keeper_end(Keeper *keeper);
