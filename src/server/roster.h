/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/address.h"
#include "restart/ledger.h"
#include "start/listeners.h"

typedef struct Connection Connection;
typedef struct Roster Roster;

/* A connection that has a handler, or is about to get one: what the master decides by. Handlers do
 * not have this memory. */
struct Connection {
        Address peer;
        char peer_text[ADDRESS_TEXT_SIZE];
        Address proxy;                      /* that has announced the peer; all zeros for none */
        char proxy_text[ADDRESS_TEXT_SIZE]; /* empty for none */
        LedgerState state;
        const Listener *listener; /* that accepted it */
        pid_t handler;            /* 0 until roster_assign() */
        uint64_t started;         /* when it was accepted */
        uint64_t cookie;          /* SO_COOKIE, socket(7) */
        bool channel_used;        /* its handler may open no further channel, see inbox.h */
        bool stored;              /* systemd's store has it, however its handler ends */
        bool leaving;             /* private to the reaper */
        uint64_t deadline;        /* when the master kills the handler; CLOCK_NEVER for never */
        LedgerEntry *ledger;      /* what its handler reports; a hint, never relied on */
        TAILQ_ENTRY(Connection) entry; /* private to the roster */
};

/* The live connections, found by the process IDs of their handlers, and the ledger that lets them
 * outlive this master. All memory is allocated by roster_new(). */

/*
 * roster_new: Creates a roster with room for @slots connections, 1 to LEDGER_MOST.
 *
 * Returns 0 and sets @ret_roster, which the caller frees with roster_free(); or a negative errno.
 */
int roster_new(uint32_t slots, Roster **ret_roster);
Roster *roster_free(Roster *roster);

/*
 * roster_add: Adds the connection of @peer with the given @cookie, which @listener accepted at
 * @now. It is silent when @listener is a PROXY one.
 *
 * Returns the connection, which stays the roster's and is valid until roster_remove() or
 * roster_leave(); NULL when the roster is full.
 */
Connection *roster_add(Roster *roster, const Address *peer, uint64_t cookie,
                       const Listener *listener, uint64_t now);

/*
 * roster_announce: Serves the silent @connection from here on, as one of the announced @peer; NULL
 * when the header announces nobody else.
 *
 * roster_refuse: Notes that the silent @connection is refused and about to end.
 */
void roster_announce(Roster *roster, Connection *connection, const Address *peer);
void roster_refuse(Roster *roster, Connection *connection);

/* roster_resume: Gives @connection what an earlier run's ledger has of it: the start, the bytes,
 * and the peer and the proxy of its PROXY header, if there was one. */
void roster_resume(Roster *roster, Connection *connection, const LedgerFacts *facts,
                   uint64_t bytes);

/*
 * roster_begin: Notes in the ledger, for the next master, that @connection is about to get a
 * handler: from here on no older copy of it may be served. Returns where fork_child() is to note
 * the process ID, for the keeper.
 *
 * roster_assign: Makes the process @handler, just forked, the handler of @connection.
 */
pid_t *roster_begin(Roster *roster, const Connection *connection);
void roster_assign(Roster *roster, Connection *connection, pid_t handler);

/*
 * roster_remove: Removes @connection, which has ended, and adds its bytes to the counts. Returns
 * whether the keeper may have stored it (keeper.h). If the keeper stores it from now on, it finds
 * that the ledger has it no more.
 *
 * roster_leave: Removes @connection, which was handed over, but leaves it in the ledger for the
 * next master.
 */
bool roster_remove(Roster *roster, Connection *connection);
void roster_leave(Roster *roster, Connection *connection);

/*
 * roster_find: Returns the connection whose handler is the process @handler, or NULL.
 *
 * roster_next: Returns the connection that was added after @connection, or the oldest one for NULL;
 * NULL after the last.
 *
 * roster_at: Returns the connection that uses @slot of the ledger, or would use it: check its
 * handler.
 */
Connection *roster_find(Roster *roster, pid_t handler);
Connection *roster_next(const Roster *roster, const Connection *connection);
Connection *roster_at(Roster *roster, uint32_t slot);

/*
 * roster_live: Returns how many connections there are; roster_silent: how many of them are silent.
 * roster_total_bytes: Returns the bytes echoed on all connections ever, live ones included; looks
 * at each live one.
 *
 * roster_ledger: Returns the ledger, which stays the roster's.
 */
uint32_t roster_live(const Roster *roster);
uint32_t roster_silent(const Roster *roster);
uint64_t roster_total_bytes(const Roster *roster);
Ledger *roster_ledger(Roster *roster);
