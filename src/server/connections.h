/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report/journal.h"
#include "server/listeners.h"
#include "server/options.h"
#include "server/roster.h"

typedef struct Connections Connections;

/*
 * The connections of a master, each from being accepted to its handler being reaped: accept4(2),
 * limits, a slot of the roster, fork(2); waitpid(2), the slot given back; and the records of all
 * that.
 *
 * After connections_new() nothing here allocates memory. Instants (`now`) are those of clock_now().
 */

/*
 * connections_new: no connections yet, for up to as many as @options says. Handlers are forked with
 * the signals blocked and the dispositions set that the caller has then; see
 * handler_init(). @options, @listeners and @journal are used until connections_free().
 *
 * Returns 0 and sets @ret_connections, which the caller frees with connections_free(); or a
 * negative errno.
 */
int connections_new(const Options *options, const Listeners *listeners, Journal *journal,
                    Connections **ret_connections);

/*
 * connections_enable_handover: has handlers hand their connections over when they are told to stop;
 * see handover.h.
 *
 * Returns 0, or a negative errno.
 */
int connections_enable_handover(Connections *connections);

/*
 * connections_adopt: enters the connection @fd, which was another master's, into the roster,
 * whatever the limits are. @before is what that master knew of it, or NULL.
 *
 * Returns its slot, for connections_start(); or ROSTER_NONE when all are taken.
 *
 * connections_start: forks a handler for the connection @fd that was adopted in @slot, unless that
 * is ROSTER_NONE. @pending is a memfd with what is to be written to it first, or -1. Both
 * descriptors stay the caller's.
 */
uint32_t connections_adopt(Connections *connections, int fd, const RosterSlot *before,
                           uint64_t now);
void connections_start(Connections *connections, uint32_t slot, int fd, int pending, uint64_t now);

/*
 * connections_roster: the table of live handlers, which stays the connections'.
 */
Roster *connections_roster(Connections *connections);

/*
 * connections_handover_fd: to be polled for reading: a handler gives its connection. -1 when that
 * does not happen.
 *
 * connections_wait_for_given: whether a handler has begun to give. connections_take_given: takes
 * what handlers give; @stopping says whether to hand it over.
 */
int connections_handover_fd(const Connections *connections);
bool connections_wait_for_given(const Connections *connections);
void connections_take_given(Connections *connections, bool stopping);

/*
 * connections_free: frees @connections, which may be NULL, and leaves handlers alone. Returns NULL.
 */
Connections *connections_free(Connections *connections);

/*
 * connections_accepting: whether it makes sense to look at the listeners: there is a free slot, and
 * the machine has not just run out of something.
 */
bool connections_accepting(const Connections *connections);

/*
 * connections_accept: accepts from @listener what is waiting there, up to
 * 16 connections. Where the machine runs out of descriptors, processes or memory, one client is
 * refused and accepting pauses.
 *
 * Returns in the calling process only; handlers exit.
 */
void connections_accept(Connections *connections, const Listener *listener, uint64_t now);

/*
 * connections_reap: reaps the handlers that have ended, all of them: SIGCHLD does not count
 * (signal(7)).
 */
void connections_reap(Connections *connections, uint64_t now);

/*
 * connections_stop: has every handler finish what it has read and end its connection.
 *
 * connections_kill: ends every handler at once; it counts as stopped, not as crashed.
 */
void connections_stop(Connections *connections);
void connections_kill(Connections *connections);

/*
 * connections_tick: does what is due at @now. connections_deadline: when that is next, or
 * CLOCK_NEVER.
 */
void connections_tick(Connections *connections, uint64_t now);
uint64_t connections_deadline(const Connections *connections);

/*
 * connections_live: how many there are.
 */
uint32_t connections_live(const Connections *connections);

/*
 * connections_totals: a record of @kind with the counts of all connections there were,
 * RECORD_TOTALS or RECORD_STOPPED.
 */
Record connections_totals(const Connections *connections, RecordKind kind, uint64_t now);

/*
 * connections_report: writes a record of each live connection, and one of the totals.
 */
void connections_report(Connections *connections, uint64_t now);
