/* SPDX-License-Identifier: MIT */
#pragma once

#include "report/journal.h"
#include "restart/restore.h"
#include "start/listeners.h"
#include "start/options.h"

typedef struct Master Master;

/* SIGTERM and SIGINT stop the master: it closes its listeners, asks its handlers to finish and
 * exits when all have. It kills the rest when their time is over (stop.h), or at once on a second
 * signal. SIGUSR1 logs all live connections and the totals. The master ignores SIGHUP, and kills a
 * handler that signals it. */

/* A positive result of master_turn(). */
enum {
        MASTER_RUNNING = 1,
};

/*
 * master_new: Creates the master of this process: blocks the signals that it waits for and installs
 * the dispositions that handlers inherit (handler_init()). Uses what it is given until
 * master_free().
 *
 * @restore: the connections that earlier runs stored in systemd; NULL when systemd does not keep
 * connections for this process.
 *
 * Returns 0 and sets @ret_master, which the caller frees with master_free(), after which signals
 * stay blocked; or a negative errno.
 */
int master_new(const Options *options, Listeners *listeners, Restore *restore, Journal *journal,
               Master **ret_master);
Master *master_free(Master *master);

/*
 * master_turn: Runs one turn. It waits for at most @patience nanoseconds; CLOCK_NEVER sets no
 * limit.
 *
 * Returns MASTER_RUNNING; 0 when the master is done; or a negative errno of ppoll(2).
 */
int master_turn(Master *master, uint64_t patience);

/*
 * master_run: Restores the connections that earlier runs stored (restore.h), announces the start to
 * the service manager and the journal, runs turns until the master is done, and announces the stop.
 * Allocates no memory once the service is ready.
 *
 * Returns 0; -ECHILD when it has stopped because something else ended the keeper (keeper.h); or
 * another negative errno when the master cannot go on.
 */
int master_run(Master *master);
