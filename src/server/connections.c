/* SPDX-License-Identifier: MIT */
/*
 * One connection at a time: accept it, charge its source's quota, add it to the roster, fork its
 * handler, close it here. Later: reap the handler, remove the connection, write its record.
 * Everything else in the program serves these two paths.
 *
 * The master decides by the roster, which no handler can write. Of a handler it believes its exit
 * status alone, and "handed over" only while the service stops. At any other time no next master
 * would take the connection back: the master removes it from the store and counts it as failed. It
 * kills a handler that sends it signals.
 *
 * A connection of a PROXY listener is silent at first: its handler reads the header. The master has
 * then forked before it knows the source, so silent connections have a limit of their own. The
 * master charges the quota when the handler announces the peer (answers.c), and kills a handler
 * that announces none, or lives on after a refusal.
 *
 * Nothing here may read from a peer, block for longer than discard.h does, or allocate memory once
 * the master runs.
 */
#include "server/connections.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/discard.h"
#include "lib/mapping.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "server/account.h"
#include "start/network.h"

enum {
        /* Clients of one listener before others and signals get their turn. */
        ACCEPTS_PER_TURN = 16,
        /* Silent connections may be this part of all. */
        SILENT_PART = 4,
};

/* The time for clients in a turn. Above MemoryHigh= of mpecho.service the kernel halts the master
 * for up to two seconds at an accept: 16 clients would take longer than systemd's watchdog waits.
 */
#define ACCEPTING CLOCK_SECOND

int connections_new(const Options *options, const Listeners *listeners, uint32_t restored,
                    Journal *journal, Connections **ret_connections) {
        const uint32_t most = (uint32_t)options->max_connections;
        const uint32_t slots = restored > most ? restored : most;
        Connections *connections;
        int r;

        connections = mapping_new_unforked(sizeof *connections);
        if (connections == NULL)
                return -errno;
        connections->options = options;
        connections->listeners = listeners;
        connections->journal = journal;
        connections->silent_deadline = CLOCK_NEVER;
        headroom_init(&connections->headroom);
        backoff_init(&connections->backoff);

        r = roster_new(slots, &connections->roster);
        if (r == 0)
                r = reaper_init(&connections->reaper, connections->roster);
        if (r == 0)
                r = quota_new(slots, options->max_per_source, &connections->quota);
        if (r == 0)
                r = datagrams_new(options, listeners, journal, &connections->datagrams);
        if (r == 0)
                r = scrapers_new(&connections->scrapers);
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
        headroom_deinit(&connections->headroom);
        backoff_deinit(&connections->backoff);
        datagrams_free(connections->datagrams);
        scrapers_free(connections->scrapers);
        return mapping_free(connections, sizeof *connections);
}

int connections_start(Connections *connections, Connection *connection, int fd, int unsent,
                      const Gate *gate, uint64_t now) {
        Handler handler = { .connection = fd,
                            .unsent = unsent,
                            .idle_timeout = connections->options->idle_timeout,
                            .ledger = connection->ledger,
                            .exits = ledger_exits(roster_ledger(connections->roster)),
                            .handover = connections->handover,
                            .silent = connection->state == LEDGER_SILENT,
                            .gate = gate };
        pid_t pid;

        snprintf(handler.title, sizeof handler.title, "mpecho: %s", connection->peer_text);
        handler.noted = roster_begin(connections->roster, connection);
        pid = handler_start(&handler);
        if (pid < 0)
                return pid;
        roster_assign(connections->roster, connection, pid);
        if (connection->state == LEDGER_SILENT) {
                connection->deadline = now + HANDLER_PATIENCE;
                connections->silent_deadline =
                                clock_earlier(connections->silent_deadline, connection->deadline);
        }
        return 0;
}

/* Releases what the quota has charged for @connection: silent and refused ones are not charged. */
static void connections_release(Connections *connections, const Connection *connection) {
        if (connection->state == LEDGER_SERVED)
                quota_release(connections->quota, address_source(&connection->peer));
}

/* Resets the client and backs off, as the machine lacks what a handler needs. */
static void connections_fork_failed(Connections *connections, Connection *connection, int fd,
                                    int error, uint64_t now) {
        const Listener *listener = connection->listener;
        int limit = METRICS_MEMORY;

        if (error == EAGAIN)
                limit = METRICS_PROCESSES;
        else if (error == EMFILE || error == ENFILE)
                limit = METRICS_DESCRIPTORS;

        connections_release(connections, connection);
        (void)roster_remove(connections->roster, connection);
        discard_client(fd);
        account_counts(connections)->refused[limit]++;
        backoff_begin(&connections->backoff, listener, metrics_limit_text(limit), error, 1, now);
}

/* Returns the limit by which the client @peer may have no handler, or METRICS_LIMITS. If it may,
 * the quota has charged its source; that of a PROXY connection is not known yet. */
static int connections_admit_client(Connections *connections, const Address *peer,
                                    const Listener *listener, uint64_t now) {
        if (headroom_is_scarce(&connections->headroom, now))
                return METRICS_MEMORY;
        if (listener->kind != LISTENER_PROXY)
                return quota_charge(connections->quota, address_source(peer))
                                       ? METRICS_LIMITS
                                       : METRICS_MAX_PER_SOURCE;
        return networks_contain(&connections->options->proxy_from, peer) ? METRICS_LIMITS
                                                                         : METRICS_PROXY_FROM;
}

/* Backs off when accept4(2) lacked a resource. Returns whether to try the next client. */
static bool connections_accept_failed(Connections *connections, const Listener *listener, int error,
                                      int failures, uint64_t now) {
        const char *limit = backoff_limit(error);
        uint32_t refused = 0;

        /* That client is gone and the next may be well, but a failing network fails for all. */
        if (limit == NULL && failures < ACCEPTS_PER_TURN)
                return true;
        if (error == EMFILE || error == ENFILE)
                refused = backoff_refuse(&connections->backoff, listener);
        account_counts(connections)->refused[METRICS_DESCRIPTORS] += refused;
        backoff_begin(&connections->backoff, listener, limit != NULL ? limit : "network", error,
                      refused, now);
        return false;
}

/* Accepts a client, and serves or refuses it. Returns whether to try the next one; @failures counts
 * the clients that were gone. */
static bool connections_accept_one(Connections *connections, const Listener *listener,
                                   int *failures, uint64_t now) {
        Connection *connection;
        Address peer;
        Gate gate;
        int limit, fd, r;

        fd = listener_accept(listener, &peer);
        if (fd == -EAGAIN)
                return false;
        if (fd < 0)
                return connections_accept_failed(connections, listener, -fd, ++*failures, now);

        limit = connections_admit_client(connections, &peer, listener, now);
        if (limit != METRICS_LIMITS) {
                discard_client(fd);
                account_refused(connections, &peer, NULL, listener, limit, NULL, now);
                return true;
        }

        connection = roster_add(connections->roster, &peer, socket_cookie(fd), listener, now);
        r = gate_init(&gate, peer.family == AF_UNIX);
        if (r == 0) {
                r = connections_start(connections, connection, fd, -1, &gate, now);
                gate_open(&gate, r == 0 ? fd : -1);
        }
        if (r < 0) {
                connections_fork_failed(connections, connection, fd, -r, now);
                return true;
        }

        backoff_end(&connections->backoff);
        if (connection->state == LEDGER_SERVED)
                account_accepted(connections, connection, now);
        account_full(connections, now);
        return true;
}

bool connections_can_accept(const Connections *connections) {
        return roster_live(connections->roster) < connections->options->max_connections &&
               !backoff_is_on(&connections->backoff);
}

bool connections_can_accept_at(const Connections *connections, const Listener *listener) {
        const uint64_t silent = roster_silent(connections->roster);

        return connections_can_accept(connections) &&
               (listener->kind != LISTENER_PROXY ||
                silent * SILENT_PART < connections->options->max_connections);
}

void connections_accept(Connections *connections, const Listener *listener, uint64_t now) {
        int failures = 0;

        for (int i = 0; i < ACCEPTS_PER_TURN && connections_can_accept_at(connections, listener);
             i++)
                if (!connections_accept_one(connections, listener, &failures, now) ||
                    clock_now() >= now + ACCEPTING)
                        return;
}

/* Lets go of a connection that goes on without its handler: the next master finds it in the ledger,
 * and writes its record. */
static void connection_leave(Connections *connections, Connection *connection) {
        connections_release(connections, connection);
        connections->stored -= connection->stored;
        roster_leave(connections->roster, connection);
        connections->handed_over++;
}

void connections_end(Connections *connections, Connection *connection, int status, uint64_t now) {
        const bool crashed = WIFSIGNALED(status) && !connections->killing;
        Connection ended;

        connections_release(connections, connection);
        backoff_relieve(&connections->backoff);
        /* Administrators learn of a crash, whatever the header was, and the counts add up. */
        if (crashed && connection->state == LEDGER_SILENT) {
                roster_announce(connections->roster, connection, NULL);
                account_accepted(connections, connection, now);
        }
        ended = *connection;
        /* No master would take it back, and the store has room for so many. */
        if (roster_remove(connections->roster, connection))
                fdstore_remove_own(connections->handover.run, ended.handler);
        account_ended(connections, &ended, crashed, status, now);
}

static void connection_reap(Connections *connections, Connection *connection, int status,
                            uint64_t now) {
        const bool handed_over = connections->stopping && WIFEXITED(status) &&
                                 WEXITSTATUS(status) == HANDLER_HANDED_OVER;

        if (handed_over || connection->stored)
                connection_leave(connections, connection);
        else
                connections_end(connections, connection, status, now);
}

bool connections_reap(Connections *connections, uint64_t now) {
        bool reaped = false;
        int status;
        pid_t pid;

        reaper_begin(&connections->reaper, now);
        while ((pid = reaper_next(&connections->reaper, &status)) > 0) {
                Connection *connection = roster_find(connections->roster, pid);

                if (connection != NULL) {
                        connection_reap(connections, connection, status, now);
                } else {
                        datagrams_reap(connections->datagrams, pid, status, now);
                        scrapers_reap(connections->scrapers, pid);
                }
                reaped = true;
        }
        return reaped;
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

/* Kills the handlers whose time is over at @now, and finds the next ones. */
static void connections_kill_due(Connections *connections, uint64_t now) {
        connections->silent_deadline = CLOCK_NEVER;
        for (Connection *connection = roster_next(connections->roster, NULL); connection != NULL;
             connection = roster_next(connections->roster, connection)) {
                if (connection->deadline <= now) {
                        (void)kill(connection->handler, SIGKILL);
                        connection->deadline = CLOCK_NEVER;
                }
                connections->silent_deadline =
                                clock_earlier(connections->silent_deadline, connection->deadline);
        }
}

void connections_tick(Connections *connections, uint64_t now) {
        backoff_tick(&connections->backoff, connections->journal, roster_live(connections->roster),
                     now);
        if (reaper_deadline(&connections->reaper) <= now)
                (void)connections_reap(connections, now);
        if (connections->silent_deadline <= now)
                connections_kill_due(connections, now);
}

uint64_t connections_deadline(const Connections *connections) {
        const uint64_t deadline = clock_earlier(backoff_deadline(&connections->backoff),
                                                reaper_deadline(&connections->reaper));

        return clock_earlier(deadline, connections->silent_deadline);
}

bool connections_are_stored(const Connections *connections) {
        return connections->stored == roster_live(connections->roster);
}

uint32_t connections_handed_over(const Connections *connections) {
        return connections->stored + connections->handed_over;
}
