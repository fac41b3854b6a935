/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "handler/gate.h"
#include "limits/backoff.h"
#include "limits/headroom.h"
#include "limits/quota.h"
#include "report/journal.h"
#include "restart/handover.h"
#include "server/datagrams.h"
#include "server/reaper.h"
#include "server/roster.h"
#include "server/scrapers.h"
#include "start/listeners.h"
#include "start/options.h"

/*
 * The connections of a master, each from accept4(2) to the end of its handler: quota, roster,
 * fork(2), waitpid(2), and the records of all that.
 *
 * After connections_new() nothing here allocates memory.
 */
typedef struct Connections {
        const Options *options;
        const Listeners *listeners;
        Journal *journal;
        Roster *roster;
        Reaper reaper;
        Quota *quota;
        Headroom headroom;
        Backoff backoff;
        HandoverAddress handover; /* where handlers forked from now on hand over */
        Datagrams *datagrams;     /* whose handlers end here too */
        Scrapers *scrapers;       /* the same */
        uint64_t full_deadline;   /* when the next record may say that the limit is reached */
        uint64_t silent_deadline; /* no handler has an earlier one; a tick finds the next */
        bool stopping;
        bool killing;
        uint32_t handed_over; /* connections that the next master will have */
        uint32_t stored;      /* connections of the roster that systemd's store has */
} Connections;

/*
 * connections_new: Begins without connections, with room for as many as @options allows, or
 * @restored ones. Also begins the datagram sockets and the clients of the metrics, whose handlers
 * are children of the same master. Handlers inherit the caller's blocked signals and dispositions;
 * see handler_init(). Uses @options, @listeners and @journal until connections_free().
 *
 * Returns 0 and sets @ret_connections, which the caller frees with connections_free(), which
 * leaves handlers alone; or a negative errno.
 */
int connections_new(const Options *options, const Listeners *listeners, uint32_t restored,
                    Journal *journal, Connections **ret_connections);
Connections *connections_free(Connections *connections);

/*
 * connections_start: Forks the handler of @connection, which is in the roster. That of a silent one
 * has HANDLER_PATIENCE from @now on. Both descriptors stay the caller's. @unsent: a memfd with
 * bytes to write first (unsent.h), or -1. @gate: behind which the handler waits first, or NULL.
 *
 * Returns 0, or a negative errno of fork(2).
 *
 * connections_end: Writes the record of the end of @connection, whose handler ended with @status
 * (waitpid(2)), and removes the connection.
 */
int connections_start(Connections *connections, Connection *connection, int fd, int unsent,
                      const Gate *gate, uint64_t now);
void connections_end(Connections *connections, Connection *connection, int status, uint64_t now);

/*
 * connections_can_accept: Returns whether accepting makes sense: there is room for a connection,
 * and the machine has not just run out of something.
 *
 * connections_can_accept_at: The same for one @listener. At a PROXY one there is room for silent
 * connections too, at most a quarter of all: clients that send no header keep out nobody else.
 *
 * connections_accept: Serves clients that wait at @listener, up to 16 or until a second after @now,
 * but one at least, so that signals and other listeners get their turn. When descriptors, processes
 * or memory run out, it refuses one client and backs off. Returns in the calling process only;
 * handlers exit.
 */
bool connections_can_accept(const Connections *connections);
bool connections_can_accept_at(const Connections *connections, const Listener *listener);
void connections_accept(Connections *connections, const Listener *listener, uint64_t now);

/*
 * connections_reap: Reaps all handlers that have ended; SIGCHLD does not count them (signal(7)).
 *
 * Returns whether there were any.
 */
bool connections_reap(Connections *connections, uint64_t now);

/* connections_stop: Signals all handlers to finish. From then on the master believes a handler that
 * exits as handed over. connections_kill: Kills all handlers, which then count as stopped. */
void connections_stop(Connections *connections);
void connections_kill(Connections *connections);

/* connections_tick: Ends a back-off, writes its record, sweeps for ended handlers, and kills those
 * that are silent or refused beyond their time, each when due at @now. connections_deadline:
 * Returns when a tick is due next, or CLOCK_NEVER. */
void connections_tick(Connections *connections, uint64_t now);
uint64_t connections_deadline(const Connections *connections);

/*
 * connections_are_stored: Returns whether systemd's store has all of them, so that nothing is lost
 * when their handlers are killed.
 *
 * connections_handed_over: Returns how many go on without this master: those that the store has,
 * and those that are not live here any more.
 */
bool connections_are_stored(const Connections *connections);
uint32_t connections_handed_over(const Connections *connections);
