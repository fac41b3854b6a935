/* SPDX-License-Identifier: MIT */
#include "server/connections.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "restart/handover.h"
#include "server/backoff.h"
#include "server/quota.h"
#include "server/reaper.h"
#include "server/roster.h"

/* How many connections of one listener are accepted before others and signals get their turn. */
#define ACCEPTS_PER_TURN 16

struct Connections {
        const Options *options;
        const Listeners *listeners;
        Journal *journal;
        Roster *roster;
        Reaper reaper;
        Limits *limits;
        Exhaustion exhaustion;
        Handover handover;
        bool killing;
        uint32_t handed_over;
};

int connections_new(const Options *options, const Listeners *listeners, Journal *journal,
                    Connections **ret_connections) {
        const uint32_t stored = listeners->stored.n_connections;
        const uint32_t slots =
                        stored > options->max_connections ? stored : options->max_connections;
        Connections *connections;
        int r;

        connections = memory_new_private(sizeof *connections);
        if (connections == NULL)
                return -errno;
        connections->options = options;
        connections->listeners = listeners;
        connections->journal = journal;
        connections->handover.fd = -1;
        exhaustion_init(&connections->exhaustion);
        r = roster_new(slots, &connections->roster);
        if (r == 0)
                r = reaper_init(&connections->reaper, connections->roster, slots);
        if (r == 0)
                r = limits_new(slots, options->max_per_source, &connections->limits);
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
        limits_free(connections->limits);
        exhaustion_deinit(&connections->exhaustion);
        handover_deinit(&connections->handover);
        return memory_free(connections, sizeof *connections);
}

int connections_enable_handover(Connections *connections) {
        return handover_init(&connections->handover);
}

Roster *connections_roster(Connections *connections) {
        return connections->roster;
}

/* The record of the connection in @slot; valid until the slot is taken again. */
static Record connections_record(const Connections *connections, RecordKind kind, uint32_t slot,
                                 uint64_t now) {
        const RosterEntry *entry = roster_entry(connections->roster, slot);

        return (Record){ .kind = kind,
                         .peer = entry->peer_text,
                         .listener = entry->listener->text,
                         .listener_name = entry->listener->name,
                         .handler_pid = (uint64_t)entry->handler,
                         .bytes = roster_slot(connections->roster, slot)->bytes,
                         .duration_usec = now - entry->started_usec,
                         .live = roster_live(connections->roster) };
}

/* Makes a handler for the connection @fd in @slot. Returns 0 or a negative errno. */
static int connections_fork(Connections *connections, int fd, int pending, uint32_t slot) {
        /* On the stack: the child has neither the roster's entries nor this object. */
        char title[HANDLER_TITLE_SIZE];
        const HandoverAddress address = connections->handover.address;
        const Handler handler = { .connection = fd,
                                  .title = title,
                                  .idle_timeout_usec = connections->options->idle_timeout_usec,
                                  .slot = roster_slot(connections->roster, slot),
                                  .exits = roster_exits(connections->roster),
                                  .pending = pending,
                                  .handover = connections->handover.fd >= 0 ? &address : NULL };
        pid_t pid;

        handler_format_title(roster_entry(connections->roster, slot)->peer_text, title);
        pid = handler_start(&handler);
        if (pid < 0)
                return pid;
        roster_assign(connections->roster, slot, pid);
        return 0;
}

static void connections_refuse(Connections *connections, const Address *peer,
                               const Listener *listener, uint64_t now) {
        char text[ADDRESS_TEXT_SIZE];

        address_format(peer, text);
        roster_counts(connections->roster)->refused++;
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

/* Serves or refuses the connection @fd, which it closes. */
static void connections_take(Connections *connections, int fd, const struct sockaddr_storage *name,
                             const Listener *listener, uint64_t now) {
        Address peer = {};
        uint32_t slot;
        Record record;
        int r;

        /* Without SO_PEERCRED a Unix peer has no name. */
        (void)address_from_peer(fd, name, &peer);
        if (!limits_enter(connections->limits, address_source(&peer))) {
                connections_refuse(connections, &peer, listener, now);
                connection_reset(fd);
                return;
        }
        slot = roster_claim(connections->roster, &peer, socket_cookie(fd), listener, now);
        r = connections_fork(connections, fd, -1, slot);
        if (r < 0) {
                roster_release(connections->roster, slot);
                limits_leave(connections->limits, address_source(&peer));
                connection_reset(fd);
                roster_counts(connections->roster)->refused++;
                exhaustion_begin(&connections->exhaustion, listener,
                                 r == -EAGAIN ? "processes" : "memory", -r, 1, now);
                return;
        }
        close(fd);
        roster_counts(connections->roster)->served++;
        exhaustion_end(&connections->exhaustion);
        record = connections_record(connections, RECORD_ACCEPTED, slot, now);
        journal_write(connections->journal, &record, now);
}

/* The connection in @slot goes on without its handler: no record, and the next master finds it in
 * the roster. */
static void connections_leave(Connections *connections, uint32_t slot) {
        limits_leave(connections->limits,
                     address_source(&roster_entry(connections->roster, slot)->peer));
        roster_leave(connections->roster, slot);
        connections->handed_over++;
}

/* Writes what became of the handler in @slot, and gives the slot back. */
static void connections_end(Connections *connections, uint32_t slot, int status, uint64_t now) {
        const Source source = address_source(&roster_entry(connections->roster, slot)->peer);
        bool crashed = WIFSIGNALED(status) && !connections->killing;
        Record record;

        record = connections_record(connections, crashed ? RECORD_CRASHED : RECORD_CLOSED, slot,
                                    now);
        if (crashed)
                record.signal = (uint64_t)WTERMSIG(status);
        else if (WIFSIGNALED(status))
                record.reason = reason_text(REASON_STOPPED);
        else
                record.reason = reason_text(reason_from_exit_code(WEXITSTATUS(status)));
        limits_leave(connections->limits, source);
        exhaustion_relieve(&connections->exhaustion);
        roster_release(connections->roster, slot);
        record.live = roster_live(connections->roster);
        journal_write(connections->journal, &record, now);
}

/* accept4(2) failed with @error. Returns whether to go on with the next connection. */
static bool connections_accept_failed(Connections *connections, const Listener *listener, int error,
                                      int failures, uint64_t now) {
        const char *limit = exhaustion_limit(error);
        uint32_t refused = 0;

        /* A connection that failed before it was accepted is gone; but if there is no end to them,
         * it is the network that fails. */
        if (limit == NULL && failures < ACCEPTS_PER_TURN)
                return true;
        if (error == EMFILE || error == ENFILE)
                refused = exhaustion_refuse(&connections->exhaustion, listener);
        roster_counts(connections->roster)->refused += refused;
        exhaustion_begin(&connections->exhaustion, listener, limit != NULL ? limit : "network",
                         error, refused, now);
        return false;
}

void connections_accept(Connections *connections, const Listener *listener, uint64_t now) {
        int failures = 0;

        for (int i = 0; i < ACCEPTS_PER_TURN && connections_accepting(connections); i++) {
                struct sockaddr_storage name;
                socklen_t length = sizeof name;
                int fd;

                /* accept4(2) would write to errno, on a page that the last fork has left shared. */
                if (i > 0 && !listener_has_more(listener))
                        return;
                fd = accept4(listener->fd, (struct sockaddr *)&name, &length, SOCK_CLOEXEC);
                if (fd >= 0)
                        connections_take(connections, fd, &name, listener, now);
                else if (errno == EAGAIN ||
                         !connections_accept_failed(connections, listener, errno, ++failures, now))
                        return;
        }
}

uint32_t connections_adopt(Connections *connections, int fd, const RosterSlot *before,
                           uint64_t now) {
        const Listener *listener = listeners_find(connections->listeners, fd);
        struct sockaddr_storage name = {};
        socklen_t length = sizeof name;
        Address peer = {};
        uint32_t slot;

        /* A connection that was reset meanwhile has no peer; its handler will find out. */
        if (getpeername(fd, (struct sockaddr *)&name, &length) == 0)
                (void)address_from_peer(fd, &name, &peer);
        else if (before != NULL)
                peer = before->peer;
        slot = roster_claim(connections->roster, &peer, socket_cookie(fd), listener, now);
        if (slot == ROSTER_NONE)
                return slot;
        limits_readmit(connections->limits, address_source(&peer));
        if (before != NULL)
                roster_resume(connections->roster, slot, before);
        return slot;
}

void connections_start(Connections *connections, uint32_t slot, int fd, int pending, uint64_t now) {
        if (slot != ROSTER_NONE && connections_fork(connections, fd, pending, slot) < 0)
                connections_end(connections, slot, W_EXITCODE(REASON_FAILED, 0), now);
}

int connections_handover_fd(const Connections *connections) {
        return connections->handover.fd;
}

bool connections_wait_for_given(const Connections *connections) {
        return handover_waiting(&connections->handover);
}

void connections_take_given(Connections *connections, bool stopping) {
        handover_turn(&connections->handover, connections->roster, stopping);
}

void connections_reap(Connections *connections, uint64_t now) {
        uint32_t slot;
        int status;

        reaper_begin(&connections->reaper, now);
        while ((slot = reaper_next(&connections->reaper, &status)) != ROSTER_NONE)
                if (handler_handed_over(status) || roster_entry(connections->roster, slot)->stored)
                        connections_leave(connections, slot);
                else
                        connections_end(connections, slot, status, now);
}

static void connections_signal(const Connections *connections, int signal) {
        for (uint32_t slot = roster_next(connections->roster, ROSTER_NONE); slot != ROSTER_NONE;
             slot = roster_next(connections->roster, slot))
                (void)kill(roster_entry(connections->roster, slot)->handler, signal);
}

void connections_stop(Connections *connections) {
        connections_signal(connections, SIGTERM);
}

void connections_kill(Connections *connections) {
        connections->killing = true;
        connections_signal(connections, SIGKILL);
}

bool connections_accepting(const Connections *connections) {
        return roster_live(connections->roster) < connections->options->max_connections &&
               !exhaustion_backs_off(&connections->exhaustion);
}

void connections_tick(Connections *connections, uint64_t now) {
        exhaustion_tick(&connections->exhaustion, connections->journal,
                        roster_live(connections->roster), now);
        if (reaper_deadline(&connections->reaper) <= now)
                connections_reap(connections, now);
}

uint64_t connections_deadline(const Connections *connections) {
        uint64_t deadline = clock_earlier(exhaustion_deadline(&connections->exhaustion),
                                          reaper_deadline(&connections->reaper));

        return handover_waiting(&connections->handover)
                               ? clock_earlier(deadline, clock_now() + 1000)
                               : deadline;
}

uint32_t connections_live(const Connections *connections) {
        return roster_live(connections->roster);
}

Record connections_totals(const Connections *connections, RecordKind kind, uint64_t now) {
        const RosterCounts *counts = roster_counts(connections->roster);

        return (Record){ .kind = kind,
                         .live = roster_live(connections->roster) + connections->handed_over,
                         .peak = counts->peak,
                         .served = counts->served,
                         .refused = counts->refused,
                         .bytes = roster_total_bytes(connections->roster),
                         .duration_usec = now - counts->started_usec };
}

void connections_report(Connections *connections, uint64_t now) {
        Record record;

        for (uint32_t slot = roster_next(connections->roster, ROSTER_NONE); slot != ROSTER_NONE;
             slot = roster_next(connections->roster, slot)) {
                record = connections_record(connections, RECORD_CONNECTION, slot, now);
                journal_write(connections->journal, &record, now);
        }
        record = connections_totals(connections, RECORD_TOTALS, now);
        journal_write(connections->journal, &record, now);
}
