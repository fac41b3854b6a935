/* SPDX-License-Identifier: MIT */
/*
 * Starts a handler for each datagram socket, and starts it again when it ends. A handler counts
 * what it answers and refuses in memory that it shares with the master; these numbers are reported
 * and decide nothing. The kernel keeps the queue of a socket that has no handler, so a handler that
 * ends loses no datagram that it has not read.
 *
 * An idle socket must wake nobody, and a busy one must not wake the master for each datagram. So
 * a handler writes to an eventfd once, and again only after the master has asked for news, at the
 * earliest a second later. In between the master does not poll the eventfd: a compromised handler
 * cannot keep it busy.
 *
 * Nothing here may read a datagram, block, or allocate memory once the master runs.
 */
#include "server/datagrams.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/mapping.h"

static_assert((int)METRICS_DROPPED == (int)GUARD_VERDICTS &&
                              (int)METRICS_OVERALL == (int)GUARD_OVERALL,
              "the results of metrics and records are the verdicts of the guard");

/* A handler that has lived for so long was no failure of its start. */
#define LIFE_LEAST (10 * CLOCK_SECOND)

/* From one look at the counts to the next, and from one record of them to the next. */
#define PAUSE   CLOCK_SECOND
#define SUMMARY (60 * CLOCK_SECOND)

/* The counts of a socket at an instant. */
typedef struct Snapshot {
        uint64_t verdicts[GUARD_VERDICTS];
        uint64_t dropped;
        uint64_t bytes;
        uint64_t when;
} Snapshot;

typedef struct DatagramSocket {
        const Listener *listener;
        DatagramCounts *counts;
        pid_t handler;              /* 0 without one */
        uint64_t started;           /* when it was forked */
        uint64_t pause;             /* the last one before a start; 0 without one that counts */
        uint64_t deadline;          /* when that starts; CLOCK_NEVER while there is one */
        uint64_t unserved_deadline; /* when the next RECORD_UNSERVED may be written */
        Snapshot logged;            /* the counts that are in records already */
        Snapshot counted;           /* those that are in the ledger already */
} DatagramSocket;

struct Datagrams {
        size_t size; /* of all this, in bytes */
        const Options *options;
        Journal *journal;
        DatagramCounts *counts;    /* of each socket; handlers of connections do not inherit them */
        int news;                  /* an eventfd for handlers; -1 without sockets */
        uint64_t pause_until;      /* CLOCK_NEVER while the eventfd is polled */
        uint64_t summary_deadline; /* CLOCK_NEVER while there is nothing to log */
        uint64_t started;
        bool stopping;
        uint32_t n;
        DatagramSocket sockets[];
};

static int datagrams_init_shared(Datagrams *datagrams) {
        const size_t size = datagrams->n * sizeof *datagrams->counts;

        datagrams->counts = mapping_new_shared(size);
        if (datagrams->counts == NULL || madvise(datagrams->counts, size, MADV_DONTFORK) < 0)
                return -errno;
        datagrams->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return datagrams->news < 0 ? -errno : 0;
}

int datagrams_new(const Options *options, const Listeners *listeners, Journal *journal,
                  Datagrams **ret_datagrams) {
        const uint32_t n = listeners_count(listeners, LISTENER_DATAGRAM);
        const size_t size = sizeof(Datagrams) + n * sizeof(DatagramSocket);
        Datagrams *datagrams;
        int r = 0;

        datagrams = mapping_new_unforked(size);
        if (datagrams == NULL)
                return -errno;
        datagrams->size = size;
        datagrams->options = options;
        datagrams->journal = journal;
        datagrams->news = -1;
        datagrams->pause_until = datagrams->summary_deadline = CLOCK_NEVER;
        datagrams->started = clock_now();
        datagrams->n = n;
        if (n > 0)
                r = datagrams_init_shared(datagrams);
        if (r < 0) {
                datagrams_free(datagrams);
                return r;
        }

        for (uint32_t i = 0, next = 0; i < listeners->n; i++)
                if (listeners->items[i].kind == LISTENER_DATAGRAM) {
                        datagrams->sockets[next] = (DatagramSocket){
                                .listener = &listeners->items[i],
                                .counts = &datagrams->counts[next],
                                .logged.when = datagrams->started,
                        };
                        next++;
                }
        *ret_datagrams = datagrams;
        return 0;
}

Datagrams *datagrams_free(Datagrams *datagrams) {
        if (datagrams == NULL)
                return NULL;
        mapping_free(datagrams->counts, datagrams->n * sizeof *datagrams->counts);
        descriptor_close(datagrams->news);
        return mapping_free(datagrams, datagrams->size);
}

int datagrams_fd(const Datagrams *datagrams) {
        return datagrams->news;
}

bool datagrams_are_quiet(const Datagrams *datagrams) {
        return datagrams->pause_until == CLOCK_NEVER;
}

void datagrams_take_news(Datagrams *datagrams, uint64_t now) {
        uint64_t n;
        const struct iovec vector = { .iov_base = &n, .iov_len = sizeof n };

        /* A compromised handler can clear O_NONBLOCK, as it shares the open file. */
        (void)!preadv2(datagrams->news, &vector, 1, -1, RWF_NOWAIT);
        datagrams->pause_until = now + PAUSE;
}

static Snapshot socket_look(const DatagramSocket *socket, uint64_t now) {
        Snapshot snapshot = { .when = now,
                              .dropped = atomic_load(&socket->counts->dropped),
                              .bytes = atomic_load(&socket->counts->bytes) };

        for (int i = 0; i < GUARD_VERDICTS; i++)
                snapshot.verdicts[i] = atomic_load(&socket->counts->verdicts[i]);
        return snapshot;
}

/* Returns the record of what @socket has counted from @before up to @after. */
static Record socket_record(const DatagramSocket *socket, RecordKind kind, const Snapshot *before,
                            const Snapshot *after) {
        Record record = { .kind = kind,
                          .listener = socket->listener->text,
                          .listener_name = socket->listener->name,
                          .handler_pid = (uint64_t)socket->handler,
                          .answered = after->verdicts[GUARD_ANSWER] -
                                      before->verdicts[GUARD_ANSWER],
                          .dropped = after->dropped - before->dropped,
                          .bytes = after->bytes - before->bytes,
                          .duration = after->when - before->when };

        for (int i = GUARD_SOURCE; i < GUARD_VERDICTS; i++) {
                record.refused_by[i] = after->verdicts[i] - before->verdicts[i];
                record.refused += record.refused_by[i];
        }
        return record;
}

/* Writes what @socket has counted since the last time, if there is anything. */
static void socket_log(DatagramSocket *socket, Journal *journal, uint64_t now) {
        const Snapshot counted = socket_look(socket, now);
        const Record record = socket_record(socket, RECORD_DATAGRAMS, &socket->logged, &counted);

        if (record.answered > 0 || record.refused > 0 || record.dropped > 0)
                journal_write(journal, &record, now);
        socket->logged = counted;
}

static void socket_pause(DatagramSocket *socket, uint64_t now) {
        socket->pause = clock_pause(socket->pause);
        socket->deadline = now + socket->pause;
}

/* Logs that the machine has no process for a handler, at most once a second. */
static void socket_log_unserved(DatagramSocket *socket, int error, Journal *journal, uint64_t now) {
        if (now < socket->unserved_deadline)
                return;
        socket->unserved_deadline = now + CLOCK_SECOND;
        journal_write(journal,
                      &(Record){ .kind = RECORD_UNSERVED,
                                 .listener = socket->listener->text,
                                 .listener_name = socket->listener->name,
                                 .limit = error == EAGAIN ? "processes" : "memory",
                                 .error = (uint64_t)error },
                      now);
}

static void datagrams_start(Datagrams *datagrams, DatagramSocket *socket, uint64_t now) {
        const size_t size = datagrams->n * sizeof *datagrams->counts;
        Handler handler = {
                .connection = socket->listener->fd,
                .news = datagrams->news,
                .datagrams = socket->counts,
                .max_datagrams_per_source = (uint32_t)datagrams->options->max_datagrams_per_source,
                .master = getpid(),
        };
        pid_t pid;

        snprintf(handler.title, sizeof handler.title, "mpecho: %.*s", ADDRESS_TEXT_SIZE - 1,
                 socket->listener->text);
        (void)madvise(datagrams->counts, size, MADV_DOFORK);
        pid = handler_start(&handler);
        (void)madvise(datagrams->counts, size, MADV_DONTFORK);
        if (pid < 0) {
                socket_pause(socket, now);
                socket_log_unserved(socket, -pid, datagrams->journal, now);
                return;
        }
        socket->handler = pid;
        socket->started = now;
        socket->deadline = CLOCK_NEVER;
}

static DatagramSocket *datagrams_find(Datagrams *datagrams, pid_t handler) {
        for (uint32_t i = 0; i < datagrams->n; i++)
                if (datagrams->sockets[i].handler == handler)
                        return &datagrams->sockets[i];
        return NULL;
}

void datagrams_reap(Datagrams *datagrams, pid_t pid, int status, uint64_t now) {
        DatagramSocket *socket = datagrams_find(datagrams, pid);
        Record record = { .kind = RECORD_RESTARTED, .handler_pid = (uint64_t)pid };

        if (socket == NULL)
                return;
        if (datagrams->stopping) {
                socket_log(socket, datagrams->journal, now);
                socket->handler = 0;
                return;
        }

        socket->handler = 0;
        if (now - socket->started >= LIFE_LEAST)
                socket->pause = 0;
        record.listener = socket->listener->text;
        record.listener_name = socket->listener->name;
        record.signal = WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0;
        socket_pause(socket, now);
        record.duration = socket->pause;
        journal_write(datagrams->journal, &record, now);
}

static void datagrams_signal(const Datagrams *datagrams, int signal) {
        for (uint32_t i = 0; i < datagrams->n; i++)
                if (datagrams->sockets[i].handler > 0)
                        (void)kill(datagrams->sockets[i].handler, signal);
}

void datagrams_stop(Datagrams *datagrams) {
        datagrams->stopping = true;
        datagrams_signal(datagrams, SIGTERM);
}

void datagrams_kill(Datagrams *datagrams) {
        datagrams_signal(datagrams, SIGKILL);
}

/* Asks the handlers for news from now on. */
static void datagrams_end_pause(Datagrams *datagrams, uint64_t now) {
        datagrams->pause_until = CLOCK_NEVER;
        datagrams->summary_deadline = clock_earlier(datagrams->summary_deadline, now + SUMMARY);
        for (uint32_t i = 0; i < datagrams->n; i++)
                atomic_store(&datagrams->counts[i].news, 0);
}

void datagrams_tick(Datagrams *datagrams, uint64_t now) {
        for (uint32_t i = 0; i < datagrams->n && !datagrams->stopping; i++)
                if (datagrams->sockets[i].deadline <= now)
                        datagrams_start(datagrams, &datagrams->sockets[i], now);
        if (datagrams->pause_until <= now)
                datagrams_end_pause(datagrams, now);
        if (datagrams->summary_deadline > now)
                return;
        datagrams->summary_deadline = CLOCK_NEVER;
        for (uint32_t i = 0; i < datagrams->n; i++)
                socket_log(&datagrams->sockets[i], datagrams->journal, now);
}

uint64_t datagrams_deadline(const Datagrams *datagrams) {
        uint64_t deadline = clock_earlier(datagrams->pause_until, datagrams->summary_deadline);

        for (uint32_t i = 0; i < datagrams->n && !datagrams->stopping; i++)
                deadline = clock_earlier(deadline, datagrams->sockets[i].deadline);
        return deadline;
}

uint32_t datagrams_live(const Datagrams *datagrams) {
        uint32_t live = 0;

        for (uint32_t i = 0; i < datagrams->n; i++)
                live += datagrams->sockets[i].handler > 0;
        return live;
}

void datagrams_add_totals(const Datagrams *datagrams, Record *record) {
        const Snapshot none = {};

        record->datagram_sockets = datagrams->n;
        for (uint32_t i = 0; i < datagrams->n; i++) {
                const DatagramSocket *socket = &datagrams->sockets[i];
                const Snapshot counted = socket_look(socket, 0);
                const Record one = socket_record(socket, RECORD_SOCKET, &none, &counted);

                record->datagrams_answered += one.answered;
                record->datagrams_refused += one.refused;
                record->datagrams_dropped += one.dropped;
        }
}

void datagrams_count(Datagrams *datagrams, MetricsCounts *counts) {
        for (uint32_t i = 0; i < datagrams->n; i++) {
                DatagramSocket *socket = &datagrams->sockets[i];
                const Snapshot before = socket->counted;

                socket->counted = socket_look(socket, 0);
                for (int verdict = 0; verdict < GUARD_VERDICTS; verdict++)
                        counts->datagrams[verdict] += socket->counted.verdicts[verdict] -
                                                      before.verdicts[verdict];
                counts->datagrams[METRICS_DROPPED] += socket->counted.dropped - before.dropped;
                counts->datagram_bytes += socket->counted.bytes - before.bytes;
        }
}

void datagrams_report(Datagrams *datagrams, uint64_t now) {
        const Snapshot none = { .when = datagrams->started };

        for (uint32_t i = 0; i < datagrams->n; i++) {
                const DatagramSocket *socket = &datagrams->sockets[i];
                const Snapshot counted = socket_look(socket, now);
                const Record record = socket_record(socket, RECORD_SOCKET, &none, &counted);

                journal_write(datagrams->journal, &record, now);
        }
}
