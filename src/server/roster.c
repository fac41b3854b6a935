/* SPDX-License-Identifier: MIT */
/*
 * The table of live connections. Each one is an object in an array that is allocated once; free
 * objects and used ones form a list each (queue(7)), used ones oldest first. A hash table finds the
 * connection of a process that was reaped.
 *
 * Connection and slot of the ledger go together: the connection at index n of the array uses slot
 * n. The roster keeps the masters' part of the ledger in step with itself, so whenever the master
 * is killed, the next one finds what it needs. It must never decide by what handlers write: of the
 * handlers' part it reads the number of bytes alone, which is reported.
 */
#include "server/roster.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/hashtable.h"
#include "lib/mapping.h"

TAILQ_HEAD(ConnectionList, Connection);

struct Roster {
        size_t size; /* of all this, in bytes */
        Hashtable *by_handler;
        Ledger *ledger;
        uint32_t slots;
        uint32_t live;
        uint32_t silent;
        struct ConnectionList free;
        struct ConnectionList used;
        uint64_t bytes_left; /* of connections that were handed over */
        Connection connections[];
};

int roster_new(uint32_t slots, Roster **ret_roster) {
        const size_t size = sizeof(Roster) + slots * sizeof(Connection);
        Roster *roster;
        int r;

        roster = mapping_new_unforked(size);
        if (roster == NULL)
                return -errno;
        roster->size = size;
        roster->slots = slots;
        TAILQ_INIT(&roster->free);
        TAILQ_INIT(&roster->used);
        for (uint32_t slot = 0; slot < slots; slot++)
                TAILQ_INSERT_TAIL(&roster->free, &roster->connections[slot], entry);

        r = ledger_new(slots, clock_now(), &roster->ledger);
        if (r == 0)
                r = hashtable_new(slots, &roster->by_handler);
        if (r < 0) {
                roster_free(roster);
                return r;
        }
        *ret_roster = roster;
        return 0;
}

Roster *roster_free(Roster *roster) {
        if (roster == NULL)
                return NULL;
        hashtable_free(roster->by_handler);
        ledger_free(roster->ledger);
        return mapping_free(roster, roster->size);
}

static HashtableKey handler_key(pid_t handler) {
        return (HashtableKey){ .low = (uint64_t)handler };
}

static uint32_t connection_slot(const Roster *roster, const Connection *connection) {
        return (uint32_t)(connection - roster->connections);
}

static LedgerFacts *connection_facts(const Roster *roster, const Connection *connection) {
        return ledger_facts(roster->ledger, connection_slot(roster, connection));
}

static void connection_set_peer(Roster *roster, Connection *connection, const Address *peer,
                                const Address *proxy) {
        LedgerFacts *facts = connection_facts(roster, connection);

        connection->peer = facts->peer = *peer;
        connection->proxy = facts->proxy = *proxy;
        address_format(peer, connection->peer_text);
        if (proxy->family != AF_UNSPEC)
                address_format(proxy, connection->proxy_text);
}

static void connection_set_state(Roster *roster, Connection *connection, LedgerState state) {
        roster->silent += (state == LEDGER_SILENT) - (connection->state == LEDGER_SILENT);
        connection->state = state;
        connection_facts(roster, connection)->state = state;
}

Connection *roster_add(Roster *roster, const Address *peer, uint64_t cookie,
                       const Listener *listener, uint64_t now) {
        Connection *connection = TAILQ_FIRST(&roster->free);
        LedgerFacts *facts;

        if (connection == NULL)
                return NULL;
        TAILQ_REMOVE(&roster->free, connection, entry);
        *connection = (Connection){
                .listener = listener,
                .started = now,
                .cookie = cookie,
                .deadline = CLOCK_NEVER,
                .ledger = ledger_entry(roster->ledger, connection_slot(roster, connection)),
        };
        /* All but `announced_before`: an earlier handler's exit can still be in the list. */
        connection->ledger->bytes = 0;
        connection->ledger->reason = 0;
        facts = connection_facts(roster, connection);
        *facts = (LedgerFacts){ .cookie = cookie, .started = now };
        memcpy(facts->listener, listener->text, sizeof facts->listener);
        connection_set_peer(roster, connection, peer, &(Address){});
        if (listener->kind == LISTENER_PROXY)
                connection_set_state(roster, connection, LEDGER_SILENT);

        TAILQ_INSERT_TAIL(&roster->used, connection, entry);
        roster->live++;
        return connection;
}

void roster_announce(Roster *roster, Connection *connection, const Address *peer) {
        const Address proxy = connection->peer;

        if (peer != NULL)
                connection_set_peer(roster, connection, peer, &proxy);
        connection->deadline = CLOCK_NEVER;
        connection_set_state(roster, connection, LEDGER_SERVED);
}

void roster_refuse(Roster *roster, Connection *connection) {
        connection_set_state(roster, connection, LEDGER_REFUSED);
}

void roster_resume(Roster *roster, Connection *connection, const LedgerFacts *facts,
                   uint64_t bytes) {
        /* The clock of the earlier run may have been ahead: no start lies in the future. */
        connection->started = clock_earlier(facts->started, connection->started);
        connection_facts(roster, connection)->started = connection->started;
        if (facts->proxy.family != AF_UNSPEC)
                connection_set_peer(roster, connection, &facts->peer, &facts->proxy);
        connection_set_state(roster, connection,
                             facts->state == LEDGER_SILENT ? LEDGER_SILENT : LEDGER_SERVED);
        atomic_store_explicit(&connection->ledger->bytes, bytes, memory_order_relaxed);
}

pid_t *roster_begin(Roster *roster, const Connection *connection) {
        LedgerFacts *facts = connection_facts(roster, connection);

        facts->begun = 1;
        return &facts->handler;
}

void roster_assign(Roster *roster, Connection *connection, pid_t handler) {
        LedgerCounts *counts = ledger_counts(roster->ledger);
        /* There is room: each entry of the table has a connection of its own. */
        const int r = hashtable_add(roster->by_handler, handler_key(handler),
                                    connection_slot(roster, connection));

        assert(r == 0);
        (void)r;
        connection->handler = handler;
        connection_facts(roster, connection)->handler = handler;
        if (roster->live > counts->peak)
                counts->peak = roster->live;
}

static void roster_unlink(Roster *roster, Connection *connection) {
        if (connection->handler != 0)
                hashtable_remove(roster->by_handler, handler_key(connection->handler));
        connection->handler = 0;
        TAILQ_REMOVE(&roster->used, connection, entry);
        TAILQ_INSERT_HEAD(&roster->free, connection, entry);
        roster->live--;
        roster->silent -= connection->state == LEDGER_SILENT;
        connection->state = LEDGER_SERVED;
}

static uint64_t connection_bytes(const Connection *connection) {
        return atomic_load_explicit(&connection->ledger->bytes, memory_order_relaxed);
}

bool roster_remove(Roster *roster, Connection *connection) {
        LedgerFacts *facts = connection_facts(roster, connection);

        ledger_counts(roster->ledger)->metrics.bytes += connection_bytes(connection);
        facts->cookie = 0;
        roster_unlink(roster, connection);
        /* The keeper notes what it is about to store, and looks for the cookie afterwards. */
        atomic_thread_fence(memory_order_seq_cst);
        return facts->kept == connection->cookie;
}

void roster_leave(Roster *roster, Connection *connection) {
        roster->bytes_left += connection_bytes(connection);
        roster_unlink(roster, connection);
}

Connection *roster_find(Roster *roster, pid_t handler) {
        const uint32_t *slot = hashtable_find(roster->by_handler, handler_key(handler));

        return slot != NULL ? &roster->connections[*slot] : NULL;
}

Connection *roster_next(const Roster *roster, const Connection *connection) {
        return connection == NULL ? TAILQ_FIRST(&roster->used) : TAILQ_NEXT(connection, entry);
}

Connection *roster_at(Roster *roster, uint32_t slot) {
        return &roster->connections[slot];
}

uint32_t roster_live(const Roster *roster) {
        return roster->live;
}

uint32_t roster_silent(const Roster *roster) {
        return roster->silent;
}

uint64_t roster_total_bytes(const Roster *roster) {
        uint64_t bytes = ledger_counts(roster->ledger)->metrics.bytes + roster->bytes_left;
        const Connection *connection;

        TAILQ_FOREACH (connection, &roster->used, entry)
                bytes += connection_bytes(connection);
        return bytes;
}

Ledger *roster_ledger(Roster *roster) {
        return roster->ledger;
}
