/* SPDX-License-Identifier: MIT */
#pragma once

#include "report/journal.h"
#include "server/listeners.h"
#include "server/options.h"

typedef struct Master Master;

/*
 * The process that accepts, forks and reaps: one thread that waits for signals, for connections and
 * for the next deadline, in one poll(2), and for nothing else. It never reads from a peer.
 *
 * In one turn: signals and reaping first, which give back what accepting needs; then accepting;
 * then what is due.
 *
 * SIGTERM and SIGINT stop it: it accepts no more, has its handlers finish, and is done when all
 * have ended, which it enforces after 4 seconds, where connections are handed over after 4 in which
 * none did, or at once when told a second time. SIGUSR1 has it
 * write what there is. SIGHUP does nothing.
 */

/* A positive result of master_turn(). */
enum {
        MASTER_RUNNING = 1,
};

/*
 * master_new: makes a master of this process: blocks the signals that it waits for and sets what
 * they do in handlers (handler_init()). @options, @listeners and @journal are used until
 * master_free().
 *
 * Returns 0 and sets @ret_master, which the caller frees with master_free(); or a negative errno.
 */
int master_new(const Options *options, Listeners *listeners, Journal *journal, Master **ret_master);

/*
 * master_free: frees @master, which may be NULL. Signals stay as they are. Returns NULL.
 */
Master *master_free(Master *master);

/*
 * master_turn: one turn, which waits for at most @patience_usec microseconds, or CLOCK_NEVER.
 *
 * Returns MASTER_RUNNING; 0 when the master is done; or a negative errno when it cannot go on.
 */
int master_turn(Master *master, uint64_t patience_usec);

/*
 * master_run: takes back what earlier runs stored (restore.h), tells the service manager and the
 * journal that the service is ready, takes turns until it is done, and tells that as well. Once it
 * is ready no memory is allocated.
 *
 * Returns 0, or a negative errno when the master could not go on.
 */
int master_run(Master *master);
