/* SPDX-License-Identifier: MIT */
/*
 * One connection at a time: accept it, charge its source's quota, add it to the roster, fork its
 * handler, close it here; and later reap the handler, write its record, remove it. Everything else
 * in the program serves these two paths.
 *
 * The master decides by the roster, which no handler can write. Of a handler it believes its exit
 * status alone, and "handed over" only while the service stops: at any other time nobody would take
 * the connection back, so it is removed from the store and has failed. A handler that opens a
 * second channel, or sends signals to its master, is killed.
 *
 * Nothing here may read from a peer, block, or allocate memory once the master runs.
 */
#include "server/connections.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "server/backoff.h"
#include "server/quota.h"
#include "server/reaper.h"

enum {
        /* Connections of one listener before others and signals get their turn. */
        ACCEPTS_PER_TURN = 16,
};

struct Connections {
        const Options *options;
        const Listeners *listeners;
        Journal *journal;
        Roster *roster;
        Reaper reaper;
        Quota *quota;
        Exhaustion exhaustion;
        HandoverAddress handover;
        bool stopping;
        bool killing;
        uint32_t handed_over;
        uint32_t stored; /* of those in the roster */
};

int connections_new(const Options *options, const Listeners *listeners, Journal *journal,
                    Connections **ret_connections) {
        const uint32_t stored = listeners->restore.n_found;
        const uint32_t slots =
                        stored > options->max_connections ? stored : options->max_connections;
        Connections *connections;
        int r;

        connections = memory_new_unforked(sizeof *connections);
        if (connections == NULL)
                return -errno;
        connections->options = options;
        connections->listeners = listeners;
        connections->journal = journal;
        exhaustion_init(&connections->exhaustion);

        r = roster_new(slots, &connections->roster);
        if (r == 0)
                r = reaper_init(&connections->reaper, connections->roster);
        if (r == 0)
                r = quota_new(slots, options->max_per_source, &connections->quota);
        if (r < 0) {
                connections_free(connections);
                return r;
        }
        *ret_connections = connections;
        return 0;
}

Connections *connections_free(Connections *connections) {
        if (connections == NULL)
                return NULL;
        reaper_deinit(&connections->reaper);
        roster_free(connections->roster);
        quota_free(connections->quota);
        exhaustion_deinit(&connections->exhaustion);
        return memory_free(connections, sizeof *connections);
}

static bool connections_admit(void *data, pid_t handler) {
        Connections *connections = data;
        Connection *connection = roster_find(connections->roster, handler);

        if (connection == NULL)
                return false;
        if (connection->channel_used) {
                (void)kill(handler, SIGKILL);
                return false;
        }
        connection->channel_used = true;
        return true;
}

static bool connections_serves(void *data, pid_t handler, uint64_t cookie) {
        const Connections *connections = data;
        const Connection *connection = roster_find(connections->roster, handler);

        return connection != NULL && connection->cookie == cookie;
}

static void connections_note_stored(void *data, pid_t handler) {
        Connections *connections = data;
        Connection *connection = roster_find(connections->roster, handler);

        if (connection == NULL || connection->stored)
                return;
        connection->stored = true;
        connections->stored++;
}

HandoverMaster connections_master(Connections *connections) {
        return (HandoverMaster){ .data = connections,
                                 .admit = connections_admit,
                                 .serves = connections_serves,
                                 .note_stored = connections_note_stored };
}

void connections_set_handover(Connections *connections, const HandoverAddress *address) {
        connections->handover = *address;
}

/* Returns the record of @connection, valid until the connection is removed. */
static Record connection_record(const Connections *connections, RecordKind kind,
                                const Connection *connection, uint64_t now) {
        return (Record){ .kind = kind,
                         .peer = connection->peer_text,
                         .listener = connection->listener->text,
                         .listener_name = connection->listener->name,
                         .handler_pid = (uint64_t)connection->handler,
                         .bytes = connection->ledger->bytes,
                         .duration_usec = now - connection->started,
                         .live = roster_live(connections->roster) };
}

/* Forks the handler of @connection. Returns 0 or a negative errno; both descriptors stay the
 * caller's. */
static int connection_start(Connections *connections, Connection *connection, int fd, int unsent) {
        Handler handler = { .connection = fd,
                            .unsent = unsent,
                            .idle_timeout_usec = connections->options->idle_timeout_usec,
                            .ledger = connection->ledger,
                            .exits = ledger_exits(roster_ledger(connections->roster)),
                            .handover = connections->handover };
        pid_t pid;

        snprintf(handler.title, sizeof handler.title, "mpecho: %s", connection->peer_text);
        pid = handler_start(&handler);
        if (pid < 0)
                return pid;
        roster_assign(connections->roster, connection, pid);
        return 0;
}

static LedgerCounts *connections_counts(Connections *connections) {
        return ledger_counts(roster_ledger(connections->roster));
}

static void connections_refuse(Connections *connections, int fd, const Address *peer,
                               const Listener *listener, uint64_t now) {
        char text[ADDRESS_TEXT_SIZE];

        connection_reset(fd);
        address_format(peer, text);
        connections_counts(connections)->refused++;
        journal_write(connections->journal,
                      &(Record){ .kind = RECORD_REFUSED,
                                 .peer = text,
                                 .listener = listener->text,
                                 .listener_name = listener->name,
                                 .limit = "max-per-source",
                                 .limit_value = connections->options->max_per_source,
                                 .live = roster_live(connections->roster) },
                      now);
}

/* The kernel cannot fork: resets the client and backs off. */
static void connections_fork_failed(Connections *connections, Connection *connection, int fd,
                                    int error, uint64_t now) {
        const Listener *listener = connection->listener;

        quota_release(connections->quota, address_source(&connection->peer));
        roster_remove(connections->roster, connection);
        connection_reset(fd);
        connections_counts(connections)->refused++;
        exhaustion_begin(&connections->exhaustion, listener,
                         error == EAGAIN ? "processes" : "memory", error, 1, now);
}

/* Serves or refuses the client @peer; takes @fd. */
static void connections_serve(Connections *connections, int fd, const Address *peer,
                              const Listener *listener, uint64_t now) {
        Connection *connection;
        Record record;
        int r;

        if (!quota_charge(connections->quota, address_source(peer))) {
                connections_refuse(connections, fd, peer, listener, now);
                return;
        }
        connection = roster_add(connections->roster, peer, socket_cookie(fd), listener, now);
        r = connection_start(connections, connection, fd, -1);
        if (r < 0) {
                connections_fork_failed(connections, connection, fd, -r, now);
                return;
        }
        close(fd);

        connections_counts(connections)->served++;
        exhaustion_end(&connections->exhaustion);
        record = connection_record(connections, RECORD_ACCEPTED, connection, now);
        journal_write(connections->journal, &record, now);
}

/* accept4(2) failed with @error. Returns whether to go on with the next client. */
static bool connections_accept_failed(Connections *connections, const Listener *listener, int error,
                                      int failures, uint64_t now) {
        const char *limit = exhaustion_limit(error);
        uint32_t refused = 0;

        /* A connection that failed before accept4(2) is gone, but the network fails where there is
         * no end to them. */
        if (limit == NULL && failures < ACCEPTS_PER_TURN)
                return true;
        if (error == EMFILE || error == ENFILE)
                refused = exhaustion_refuse(&connections->exhaustion, listener);
        connections_counts(connections)->refused += refused;
        exhaustion_begin(&connections->exhaustion, listener, limit != NULL ? limit : "network",
                         error, refused, now);
        return false;
}

bool connections_can_accept(const Connections *connections) {
        return roster_live(connections->roster) < connections->options->max_connections &&
               !exhaustion_backs_off(&connections->exhaustion);
}

void connections_accept(Connections *connections, const Listener *listener, uint64_t now) {
        int failures = 0;

        for (int i = 0; i < ACCEPTS_PER_TURN && connections_can_accept(connections); i++) {
                struct sockaddr_storage name;
                socklen_t length = sizeof name;
                Address peer = {};
                int fd;

                fd = accept4(listener->fd, (struct sockaddr *)&name, &length, SOCK_CLOEXEC);
                if (fd >= 0) {
                        /* Without SO_PEERCRED a Unix peer has no name. */
                        (void)address_from_peer(fd, &name, &peer);
                        connections_serve(connections, fd, &peer, listener, now);
                } else if (errno == EAGAIN || !connections_accept_failed(connections, listener,
                                                                         errno, ++failures, now)) {
                        return;
                }
        }
}

/* The connection goes on without its handler: no record, and the next master finds it in the
 * ledger. */
static void connection_leave(Connections *connections, Connection *connection) {
        quota_release(connections->quota, address_source(&connection->peer));
        connections->stored -= connection->stored;
        roster_leave(connections->roster, connection);
        connections->handed_over++;
}

/* Writes the record of the end of a handler, and removes its connection. */
static void connection_end(Connections *connections, Connection *connection, int status,
                           uint64_t now) {
        const bool crashed = WIFSIGNALED(status) && !connections->killing;
        const Source source = address_source(&connection->peer);
        Record record;

        record = connection_record(connections, crashed ? RECORD_CRASHED : RECORD_CLOSED,
                                   connection, now);
        if (crashed)
                record.signal = (uint64_t)WTERMSIG(status);
        else if (WIFSIGNALED(status))
                record.reason = reason_text(REASON_STOPPED);
        else
                record.reason = reason_text(reason_from_exit_code(WEXITSTATUS(status)));
        /* Nobody would take back what it may have stored by itself. */
        if (WIFSIGNALED(status) || WEXITSTATUS(status) == HANDLER_HANDED_OVER)
                fdstore_remove_own(connections->handover.run, connection->handler);
        quota_release(connections->quota, source);
        exhaustion_relieve(&connections->exhaustion);
        roster_remove(connections->roster, connection);
        record.live = roster_live(connections->roster);
        journal_write(connections->journal, &record, now);
}

bool connections_reap(Connections *connections, uint64_t now) {
        Connection *connection;
        bool reaped = false;
        int status;

        reaper_begin(&connections->reaper, now);
        while ((connection = reaper_next(&connections->reaper, &status)) != NULL) {
                const bool handed_over = connections->stopping && WIFEXITED(status) &&
                                         WEXITSTATUS(status) == HANDLER_HANDED_OVER;

                if (handed_over || connection->stored)
                        connection_leave(connections, connection);
                else
                        connection_end(connections, connection, status, now);
                reaped = true;
        }
        return reaped;
}

/* Adds a stored connection to the roster. Returns it, or NULL without room. */
static Connection *connections_readmit(Connections *connections, const RestoredConnection *restored,
                                       uint64_t now) {
        const Listener *listener = listeners_find(connections->listeners, restored->fd);
        struct sockaddr_storage name = {};
        socklen_t length = sizeof name;
        Connection *connection;
        Address peer = {};

        /* A connection that was reset meanwhile has no peer; its handler finds out. */
        if (getpeername(restored->fd, (struct sockaddr *)&name, &length) == 0)
                (void)address_from_peer(restored->fd, &name, &peer);
        else if (restored->facts != NULL)
                peer = restored->facts->peer;
        connection = roster_add(connections->roster, &peer, socket_cookie(restored->fd), listener,
                                now);
        if (connection == NULL)
                return NULL;
        quota_recharge(connections->quota, address_source(&peer));
        if (restored->facts != NULL)
                roster_resume(connections->roster, connection, restored->facts,
                              restored->entry->bytes);
        return connection;
}

/* Writes the record of a connection that ended while there was no master. */
static void connections_bury(Connections *connections, const LedgerFacts *facts,
                             const LedgerEntry *entry, uint64_t now) {
        /* Handlers can have written any number. */
        const uint32_t reason = entry->reason;
        const int exit_code =
                        reason >= 1 && reason <= REASON_COUNT ? (int)reason - 1 : REASON_FAILED;
        char peer[ADDRESS_TEXT_SIZE], text[ENDPOINT_TEXT_SIZE];
        const Listener *listener;

        /* A compromised handler can have stored a ledger, in which the text has no end. */
        snprintf(text, sizeof text, "%.*s", (int)sizeof facts->listener, facts->listener);
        listener = listeners_find_text(connections->listeners, text);
        address_format(&facts->peer, peer);
        journal_write(connections->journal,
                      &(Record){ .kind = RECORD_CLOSED,
                                 .peer = peer,
                                 .listener = text,
                                 .listener_name = listener != NULL ? listener->name : NULL,
                                 .handler_pid = (uint64_t)facts->handler,
                                 .bytes = entry->bytes,
                                 .duration_usec = now - clock_earlier(now, facts->started),
                                 .reason = reason_text(reason_from_exit_code(exit_code)),
                                 .live = roster_live(connections->roster) },
                      now);
}

/* Continues the counts of the earlier run, with the bytes of connections that have ended since. */
static void connections_restore_counts(Connections *connections, const Restore *restore,
                                       uint64_t now) {
        LedgerCounts *counts = connections_counts(connections);

        if (restore->ledger == NULL)
                return;
        *counts = *ledger_counts(restore->ledger);
        counts->started = clock_earlier(counts->started, now);
        for (uint32_t i = 0; i < restore->n_ended; i++)
                counts->bytes += ledger_entry(restore->ledger, restore->ended[i])->bytes;
}

/* Writes the records of connections that have ended since the earlier run. */
static void connections_log_ended(Connections *connections, const Restore *restore, uint64_t now) {
        if (restore->ledger == NULL && restore->ledger_lost)
                journal_write(connections->journal, &(Record){ .kind = RECORD_RECOUNTED }, now);
        for (uint32_t i = 0; i < restore->n_ended; i++)
                connections_bury(connections, ledger_facts(restore->ledger, restore->ended[i]),
                                 ledger_entry(restore->ledger, restore->ended[i]), now);
}

/* Stores the ledger of this run. */
static int connections_store_ledger(Connections *connections, uint64_t run) {
        int bundle;

        bundle = ledger_take_bundle(roster_ledger(connections->roster));
        if (bundle < 0)
                return bundle;
        (void)fdstore_put(FDSTORE_LEDGER, run, bundle);
        close(bundle);
        return 0;
}

/* Adds all stored connections to the roster, in the order of the restore. */
static void connections_readmit_all(Connections *connections, Restore *restore, uint64_t now) {
        RestoredConnection restored;

        while (restore_next(restore, &restored)) {
                if (restored.ended && restored.fd >= 0)
                        socket_set_reset(restored.fd);
                if (!restored.skip &&
                    (restored.fd < 0 || connections_readmit(connections, &restored, now) == NULL))
                        restore_drop(restore);
        }
}

/* Forks the handlers of all connections in the roster, in the order of the restore. */
static void connections_start_all(Connections *connections, Restore *restore, uint64_t now) {
        Connection *connection, *next = roster_next(connections->roster, NULL);
        RestoredConnection restored;

        while (restore_next(restore, &restored)) {
                if (restored.skip)
                        continue;
                connection = next;
                next = roster_next(connections->roster, connection);
                if (restored.fd >= 0 &&
                    connection_start(connections, connection, restored.fd, restored.unsent) == 0)
                        continue;
                if (restored.fd >= 0)
                        socket_set_reset(restored.fd);
                connection_end(connections, connection, W_EXITCODE(REASON_FAILED, 0), now);
        }
}

int connections_restore(Connections *connections, Restore *restore, uint64_t now) {
        uint32_t live;
        int r;

        connections_restore_counts(connections, restore, now);
        connections_readmit_all(connections, restore, now);
        live = roster_live(connections->roster);

        /* No handler has counted anything yet: whenever this master is killed, the store has all
         * counts. */
        r = connections_store_ledger(connections, restore->run);
        if (r < 0)
                return r;
        /* systemd ignores messages of a process that is gone, and without this ledger the next
         * master would serve connections again that handlers of this one had begun. */
        if (restore->n_found > 0)
                (void)fdstore_barrier();

        /* After the barrier: the next master does not write them again. */
        connections_log_ended(connections, restore, now);
        connections_start_all(connections, restore, now);
        restore_forget(restore);
        /* No connection ends, and is logged, while the store still has it. */
        if (restore->n_found > 0)
                (void)fdstore_barrier();
        if (live > 0)
                journal_write(connections->journal,
                              &(Record){ .kind = RECORD_RESUMED, .live = live }, now);
        return 0;
}

static void connections_signal(const Connections *connections, int signal) {
        for (const Connection *connection = roster_next(connections->roster, NULL);
             connection != NULL; connection = roster_next(connections->roster, connection))
                if (connection->handler > 0)
                        (void)kill(connection->handler, signal);
}

void connections_stop(Connections *connections) {
        connections->stopping = true;
        connections_signal(connections, SIGTERM);
}

void connections_kill(Connections *connections) {
        connections->killing = true;
        connections_signal(connections, SIGKILL);
}

bool connections_disobeys(Connections *connections, pid_t pid) {
        if (roster_find(connections->roster, pid) == NULL)
                return false;
        (void)kill(pid, SIGKILL);
        return true;
}

void connections_tick(Connections *connections, uint64_t now) {
        exhaustion_tick(&connections->exhaustion, connections->journal,
                        roster_live(connections->roster), now);
        if (reaper_deadline(&connections->reaper) <= now)
                (void)connections_reap(connections, now);
}

uint64_t connections_deadline(const Connections *connections) {
        return clock_earlier(exhaustion_deadline(&connections->exhaustion),
                             reaper_deadline(&connections->reaper));
}

uint32_t connections_live(const Connections *connections) {
        return roster_live(connections->roster);
}

bool connections_are_stored(const Connections *connections) {
        return connections->stored == roster_live(connections->roster);
}

Record connections_totals(const Connections *connections, RecordKind kind, uint64_t now) {
        const LedgerCounts *counts = ledger_counts(roster_ledger(connections->roster));

        return (Record){ .kind = kind,
                         .live = roster_live(connections->roster) + connections->handed_over,
                         .peak = counts->peak,
                         .served = counts->served,
                         .refused = counts->refused,
                         .bytes = roster_total_bytes(connections->roster),
                         .duration_usec = now - counts->started };
}

void connections_report(Connections *connections, uint64_t now) {
        Record record;

        for (const Connection *connection = roster_next(connections->roster, NULL);
             connection != NULL; connection = roster_next(connections->roster, connection)) {
                record = connection_record(connections, RECORD_CONNECTION, connection, now);
                journal_write(connections->journal, &record, now);
        }
        record = connections_totals(connections, RECORD_TOTALS, now);
        journal_write(connections->journal, &record, now);
}
