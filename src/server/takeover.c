/* SPDX-License-Identifier: MIT */
/*
 * Takes over what earlier runs left in systemd's descriptor store, before the master accepts: it
 * continues the counts, adds the connections to the roster whatever the limits are, writes the
 * records of those that ended meanwhile, and forks handlers for the others.
 *
 * The master can be killed at any point here, and the next one must find each connection once, with
 * all counts. Three steps therefore have a fixed order. The ledger of this run, complete, is in the
 * store before the first handler is forked and before the first record is written: the next master
 * does not write these again. The bundles and ledgers of earlier runs are removed after all
 * handlers were forked. And the master waits for the removal before it reaps: no connection may
 * end, and be logged, while the store still has it.
 */
#include "server/takeover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "server/account.h"

/* A hostile handler alone makes these necessary. */
#define LATE_ATTEMPTS     100
#define LATE_MILLISECONDS 10

/* Copies the address of the listener in @facts. Outside of the sandbox a compromised handler can
 * have stored a ledger in which the text has no end. */
static void facts_listener(const LedgerFacts *facts, char text[static ENDPOINT_TEXT_SIZE]) {
        snprintf(text, ENDPOINT_TEXT_SIZE, "%.*s", (int)sizeof facts->listener, facts->listener);
}

/* Returns the listener that a stored connection came in by. The ledger has its address; without
 * one, or when mpecho listens elsewhere now, the connection's own address decides. */
static const Listener *takeover_listener(const Connections *connections,
                                         const RestoredConnection *restored) {
        const Listener *listener = NULL;
        char text[ENDPOINT_TEXT_SIZE];

        if (restored->facts != NULL) {
                facts_listener(restored->facts, text);
                listener = listeners_find_text(connections->listeners, text);
        }
        return listener != NULL ? listener : listeners_find(connections->listeners, restored->fd);
}

/* Adds a stored connection to the roster. Returns it, or NULL without room. */
static Connection *takeover_add(Connections *connections, const RestoredConnection *restored,
                                uint64_t now) {
        const Listener *listener = takeover_listener(connections, restored);
        Connection *connection;
        Address peer = {};

        /* Outside of a sandbox, its handler can have connected it elsewhere. One that was reset
         * meanwhile has no peer; its handler finds out. */
        if (restored->facts != NULL)
                peer = restored->facts->peer;
        else
                (void)address_from_peer(restored->fd, NULL, &peer);
        connection = roster_add(connections->roster, &peer, socket_cookie(restored->fd), listener,
                                now);
        if (connection == NULL)
                return NULL;
        if (restored->facts != NULL)
                roster_resume(connections->roster, connection, restored->facts,
                              restored->entry->bytes);
        else
                roster_announce(connections->roster, connection, NULL);
        if (connection->state == LEDGER_SERVED)
                quota_recharge(connections->quota, address_source(&connection->peer));
        return connection;
}

/* Returns the exit code of the handler of a connection that ended without a master. It can have
 * written any number: what is no reason becomes "failed". */
static int entry_code(const LedgerEntry *entry) {
        return (int)(entry->reason - 1);
}

/* Returns the kind of the record of a connection that ended without a master. A handler that was
 * killed noted no reason. */
static RecordKind takeover_kind(const LedgerFacts *facts, const LedgerEntry *entry) {
        if (facts->state == LEDGER_SILENT)
                return RECORD_REFUSED;
        return entry->reason == 0 ? RECORD_CRASHED : RECORD_CLOSED;
}

static uint64_t facts_duration(const LedgerFacts *facts, uint64_t now) {
        return now - clock_earlier(now, facts->started);
}

/* Writes the record of a connection that ended while there was no master. A refused one has its
 * record already. */
static void takeover_bury(Connections *connections, const LedgerFacts *facts,
                          const LedgerEntry *entry, uint64_t now) {
        const RecordKind kind = takeover_kind(facts, entry);
        const int code = entry_code(entry);
        const EndReason reason = end_reason_from_exit_code(code);
        char peer[ADDRESS_TEXT_SIZE], proxy[ADDRESS_TEXT_SIZE], text[ENDPOINT_TEXT_SIZE];
        const Listener *listener;

        if (facts->state == LEDGER_REFUSED)
                return;
        facts_listener(facts, text);
        listener = listeners_find_text(connections->listeners, text);
        address_format(&facts->peer, peer);
        address_format(&facts->proxy, proxy);
        journal_write(connections->journal,
                      &(Record){ .kind = kind,
                                 .peer = peer,
                                 .proxy = facts->proxy.family != AF_UNSPEC ? proxy : NULL,
                                 .limit = RECORD_LIMIT_HEADER,
                                 .listener = text,
                                 .listener_name = listener != NULL ? listener->name : NULL,
                                 .handler_pid = (uint64_t)facts->handler,
                                 .bytes = entry->bytes,
                                 .duration = facts_duration(facts, now),
                                 .reason = kind == RECORD_REFUSED ? account_refusal(code)
                                                                  : end_reason_text(reason),
                                 .live = roster_live(connections->roster) },
                      now);
}

static void takeover_count_ended(MetricsCounts *counts, const LedgerFacts *facts,
                                 const LedgerEntry *entry, uint64_t now) {
        const RecordKind kind = takeover_kind(facts, entry);

        if (facts->state == LEDGER_REFUSED)
                return;
        if (kind == RECORD_REFUSED) {
                counts->refused[METRICS_PROXY_HEADER]++;
                return;
        }
        counts->bytes += entry->bytes;
        metrics_count_end(counts, kind == RECORD_CRASHED,
                          end_reason_from_exit_code(entry_code(entry)), facts_duration(facts, now));
}

/* Continues the counts of the earlier run, with the connections that have ended since. */
static void takeover_counts(Connections *connections, const Restore *restore, uint64_t now) {
        LedgerCounts *counts = ledger_counts(roster_ledger(connections->roster));

        if (restore->ledger == NULL)
                return;
        *counts = *ledger_counts(restore->ledger);
        counts->started = clock_earlier(counts->started, now);
        for (uint32_t i = 0; i < restore->n_ended; i++) {
                const LedgerFacts *facts = ledger_facts(restore->ledger, restore->ended[i]);

                takeover_count_ended(&counts->metrics, facts,
                                     ledger_entry(restore->ledger, restore->ended[i]), now);
        }
}

/* Writes the records of what the earlier run could not write, and of connections that have ended
 * since. */
static void takeover_log_ended(Connections *connections, const Restore *restore, uint64_t now) {
        LedgerCounts *counts = ledger_counts(roster_ledger(connections->roster));

        journal_adopt_lost(connections->journal, &counts->lost);
        counts->lost = (Tally){};
        /* A store with too little room has connections of the earlier run, and no ledger. */
        if (restore->ledger == NULL && (restore->ledger_lost || restore->n_found > 0))
                journal_write(connections->journal, &(Record){ .kind = RECORD_RECOUNTED }, now);
        for (uint32_t i = 0; i < restore->n_ended; i++)
                takeover_bury(connections, ledger_facts(restore->ledger, restore->ended[i]),
                              ledger_entry(restore->ledger, restore->ended[i]), now);
}

static int takeover_store_ledger(Connections *connections, uint64_t run) {
        int bundle;

        bundle = ledger_take_bundle(roster_ledger(connections->roster));
        if (bundle < 0)
                return bundle;
        (void)fdstore_put(FDSTORE_LEDGER, run, bundle);
        close(bundle);
        return 0;
}

/* Stores the ledger of this run where what the store had left no room for it: a hostile handler can
 * have stored a message with all descriptors that may be on their way (ETOOMANYREFS, unix(7)).
 * systemd closes that now, a moment after its removal. */
static void takeover_store_late(Connections *connections, uint64_t run) {
        const Ledger *ledger = roster_ledger(connections->roster);

        for (int i = 0; i < LATE_ATTEMPTS && !ledger_is_taken(ledger); i++) {
                if (i > 0)
                        (void)poll(NULL, 0, LATE_MILLISECONDS);
                (void)takeover_store_ledger(connections, run);
        }
}

/* Adds all stored connections to the roster, in the order of the restore. */
static void takeover_readmit_all(Connections *connections, Restore *restore, uint64_t now) {
        RestoredConnection restored;

        while (restore_next(restore, &restored)) {
                const bool refused =
                                restored.facts != NULL && restored.facts->state == LEDGER_REFUSED;

                if ((restored.ended || refused) && restored.fd >= 0)
                        socket_set_reset(restored.fd);
                if (!restored.skip && (refused || restored.fd < 0 ||
                                       takeover_add(connections, &restored, now) == NULL))
                        restore_drop(restore);
        }
}

/* Forks the handlers of all connections in the roster, in the order of the restore. */
static void takeover_start_all(Connections *connections, Restore *restore, uint64_t now) {
        Connection *connection, *next = roster_next(connections->roster, NULL);
        RestoredConnection restored;

        while (restore_next(restore, &restored)) {
                if (restored.skip)
                        continue;
                connection = next;
                next = roster_next(connections->roster, connection);
                if (restored.fd >= 0 && connections_start(connections, connection, restored.fd,
                                                          restored.unsent, NULL, clock_now()) == 0)
                        continue;
                if (restored.fd >= 0)
                        socket_set_reset(restored.fd);
                connections_end(connections, connection, W_EXITCODE(END_FAILED, 0), now);
        }
}

int takeover_readmit(Connections *connections, Restore *restore, uint64_t now) {
        int r;

        takeover_counts(connections, restore, now);
        takeover_readmit_all(connections, restore, now);
        /* New counts begin with the connections that go on: each is to end as an accepted one. */
        if (restore->ledger == NULL)
                account_counts(connections)->accepted = roster_live(connections->roster);

        /* No handler has counted anything yet: whenever this master is killed, the store has all
         * counts. */
        r = takeover_store_ledger(connections, restore->run);
        if (r < 0 && r != -ETOOMANYREFS)
                return r;
        /* systemd ignores messages of a process that is gone. Beside an earlier ledger and without
         * this one, the next master would serve connections again that handlers of this one had
         * begun, and reject all others of this run. */
        if (restore->n > 0)
                (void)fdstore_barrier();

        /* After the barrier: the next master does not write them again. */
        takeover_log_ended(connections, restore, now);
        return 0;
}

void takeover_start(Connections *connections, Restore *restore, uint64_t now) {
        const uint32_t live = roster_live(connections->roster);

        takeover_start_all(connections, restore, now);
        restore_forget(restore);
        /* No connection ends, and is logged, while the store still has it. */
        if (restore->n_found > 0)
                (void)fdstore_barrier();
        takeover_store_late(connections, restore->run);
        account_counts(connections)->resumed += live;
        if (live > 0)
                journal_write(connections->journal,
                              &(Record){ .kind = RECORD_RESUMED, .live = live }, now);
}
