/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "restart/handover.h"
#include "restart/ledger.h"

/*
 * The process that stores connections when there is no master that does: it was killed, or hangs.
 * It begins with the master, waits for handlers, and ends when master and handlers have ended.
 */
typedef struct Keeper {
        pid_t pid;        /* 0 without a keeper */
        int fd;           /* readable when the keeper has ended; -1 without one */
        int end;          /* of a pipe to the keeper, which ends at a byte; -1 without one */
        Endpoint address; /* where handlers open channels (handover.h) */
} Keeper;

#define KEEPER_NONE ((Keeper){ .fd = -1, .end = -1 })

/*
 * keeper_start: Starts the keeper of the run with number @run, which takes the connections in
 * @ledger from their handlers. Call before handler_init(), while the environment names the manager.
 *
 * Returns 0, or a negative errno; @keeper, which begins as KEEPER_NONE, needs keeper_end() in any
 * case.
 *
 * keeper_end: Ends and reaps it, when no handler lives.
 */
int keeper_start(Keeper *keeper, uint64_t run, Ledger *ledger);
void keeper_end(Keeper *keeper);
