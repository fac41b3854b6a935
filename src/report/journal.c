/* SPDX-License-Identifier: MIT */
/*
 * Writes records to journald's socket or stderr without ever blocking. A record that the receiver
 * does not accept waits in a queue; when the queue is full, the journal drops and counts it, and
 * the next record that fits is preceded by one with the counts.
 *
 * A token bucket limits the records of connections. Beyond it the journal counts them, and sums
 * them up each second: refused ones by source as well. It also writes them in batches, because
 * waking journald can cost more than the record.
 *
 * Each connection must appear in a record, a summary or a count of lost records: none may vanish.
 */
#include "report/journal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/stdfds.h"
#include "report/queue.h"

enum {
        /* Sources that are told apart within a second, and that get a record of their own. */
        REFUSALS_MOST = 256,
        REFUSALS_TOLD = 10,
        TIME_SIZE = 32,
        TOKENS_PER_SECOND = 200,
        TOKENS_MOST = 1000,
};

/* To wake the reader may take longer than to write a record. */
#define BATCH (10 * CLOCK_MILLISECOND)

#define RETRY_FIRST (2 * CLOCK_MILLISECOND)
#define RETRY_MOST  CLOCK_SECOND

/* A source and how many of its connections were refused without a record. */
typedef struct Refusals {
        char source[ADDRESS_TEXT_SIZE];
        uint64_t n;
} Refusals;

/* What was not written, by kind. */
typedef struct Tally {
        uint64_t records;
        uint64_t accepted;
        uint64_t closed;
        uint64_t crashed;
        uint64_t refused;
        uint64_t bytes;
} Tally;

struct Journal {
        int fd;        /* a socket for the journal; -1 for stderr */
        bool prefixed; /* lines on stderr begin with their priority */
        int level;
        int empty_level;
        struct sockaddr_un socket;
        uint64_t tokens; /* a token is worth the time in which it grows */
        uint64_t tokens_counted;
        Tally summary;
        Refusals refusals[REFUSALS_MOST]; /* of the summary; the busiest become records */
        uint32_t n_refusals;
        uint64_t other_refusals;
        const char *refusals_limit;
        uint64_t summary_since;
        uint64_t summary_deadline;
        Tally lost;
        uint64_t drained;        /* when the queue was last empty */
        uint64_t drain_deadline; /* CLOCK_NEVER when nothing is queued */
        uint64_t retry;
        bool refused;                    /* what is first in the queue */
        char sentence[RECORD_SIZE - 48]; /* of the record being written */
        char data[RECORD_SIZE];          /* its message; here, because the pages of the stack are */
        Queue queue;                     /* copied when they are written after a fork */
};

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat status;

        return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
               status.st_ino == inode;
}

LogTarget journal_target(LogTarget target) {
        if (target != LOG_TARGET_AUTO)
                return target;
        return stderr_is_journal() || stdfds_stderr_is_stdin() ? LOG_TARGET_JOURNAL
                                                               : LOG_TARGET_STDERR;
}

int journal_new(LogTarget target, int level, const char *socket_path, Journal **ret_journal) {
        const int room = 8 * 1024 * 1024;
        Journal *journal;

        /* A handler has no need of it, nor a fork of its pages. */
        journal = memory_new_unforked(sizeof *journal);
        if (journal == NULL)
                return -errno;
        journal->fd = -1;
        journal->level = level;
        journal->summary_deadline = CLOCK_NEVER;
        journal->drain_deadline = CLOCK_NEVER;
        journal->retry = RETRY_FIRST;
        journal->tokens = TOKENS_MOST * (CLOCK_SECOND / TOKENS_PER_SECOND);
        journal->prefixed = stderr_is_journal();
        journal->socket.sun_family = AF_UNIX;
        snprintf(journal->socket.sun_path, sizeof journal->socket.sun_path, "%s", socket_path);
        if (journal_target(target) == LOG_TARGET_JOURNAL) {
                journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                if (journal->fd < 0) {
                        int r = -errno;

                        memory_free(journal, sizeof *journal);
                        return r;
                }
                /* Room for a burst that journald has not read yet; beyond net.core.wmem_max where
                 * that is allowed. */
                (void)setsockopt(journal->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
                (void)setsockopt(journal->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        }
        *ret_journal = journal;
        return 0;
}

Journal *journal_free(Journal *journal) {
        if (journal == NULL)
                return NULL;
        if (journal->fd >= 0)
                close(journal->fd);
        return memory_free(journal, sizeof *journal);
}

/* By path each time: a journald that was started anew has made its socket anew. A line is shorter
 * than PIPE_BUF, so a pipe that is ready takes it whole and at once (pipe(7)). */
static bool journal_send(const Journal *journal, const char *data, size_t size) {
        struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

        if (journal->fd >= 0)
                return sendto(journal->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (const struct sockaddr *)&journal->socket,
                              sizeof journal->socket) >= 0;
        return poll(&ready, 1, 0) == 1 && write(STDERR_FILENO, data, size) >= 0;
}

/* The time of day in UTC (RFC 3339), which needs no file of the machine. */
static void time_format(char text[static TIME_SIZE]) {
        const time_t now = time(NULL);
        struct tm parts;

        (void)gmtime_r(&now, &parts);
        if (strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
                text[0] = '\0';
}

/* Returns the size of the message. */
static size_t journal_format(Journal *journal, const Record *record) {
        char *data = journal->data, *sentence = journal->sentence, text[TIME_SIZE];

        if (journal->fd >= 0)
                return record_format_journal(record, data);
        record_format_sentence(record, sentence, sizeof journal->sentence);
        if (journal->prefixed)
                return (size_t)snprintf(data, RECORD_SIZE, "<%d>%s\n", record_priority(record),
                                        sentence);
        time_format(text);
        return (size_t)snprintf(data, RECORD_SIZE, "%s mpecho: %s\n", text, sentence);
}

/* Sends what is queued; returns whether all of it. */
static bool journal_drain(Journal *journal, uint64_t now) {
        const char *data;
        size_t size;

        while ((data = queue_first(&journal->queue, &size)) != NULL) {
                if (!journal_send(journal, data, size)) {
                        journal->refused = true;
                        journal->drain_deadline = now + journal->retry;
                        journal->retry = clock_earlier(2 * journal->retry, RETRY_MOST);
                        return false;
                }
                queue_remove(&journal->queue);
                journal->retry = RETRY_FIRST;
        }
        journal->refused = false;
        journal->drained = now;
        journal->drain_deadline = CLOCK_NEVER;
        return true;
}

static bool record_is_of_connection(RecordKind kind) {
        return kind == RECORD_ACCEPTED || kind == RECORD_CLOSED || kind == RECORD_CRASHED ||
               kind == RECORD_REFUSED;
}

/* Sends or queues @record; returns false when it can do neither. */
static bool journal_put(Journal *journal, const Record *record, uint64_t now) {
        const size_t size = journal_format(journal, record);
        const uint64_t next_batch = journal->drained + BATCH;

        if (!queue_add(&journal->queue, journal->data, size))
                return false;
        if (journal->refused)
                return true;
        if (record_is_of_connection(record->kind) && now < next_batch)
                journal->drain_deadline = next_batch;
        else
                (void)journal_drain(journal, now);
        return true;
}

static void tally_add(Tally *tally, const Record *record) {
        tally->records++;
        tally->accepted += record->kind == RECORD_ACCEPTED;
        tally->closed += record->kind == RECORD_CLOSED;
        tally->crashed += record->kind == RECORD_CRASHED;
        if (record->kind == RECORD_REFUSED)
                tally->refused++;
        else if (record->kind == RECORD_EXHAUSTED)
                tally->refused += record->refused;
        if (record->kind == RECORD_CLOSED || record->kind == RECORD_CRASHED)
                tally->bytes += record->bytes;
}

/* A token bucket. */
static bool journal_has_token(Journal *journal, uint64_t now) {
        const uint64_t token = CLOCK_SECOND / TOKENS_PER_SECOND;

        journal->tokens += now - journal->tokens_counted;
        journal->tokens = clock_earlier(journal->tokens, TOKENS_MOST * token);
        journal->tokens_counted = now;
        if (journal->tokens < token)
                return false;
        journal->tokens -= token;
        return true;
}

static Record tally_record(const Tally *tally, RecordKind kind) {
        return (Record){ .kind = kind,
                         .lost = tally->records,
                         .accepted = tally->accepted,
                         .closed = tally->closed,
                         .crashed = tally->crashed,
                         .refused = tally->refused,
                         .bytes = tally->bytes };
}

/* Returns whether everything lost has been said. */
static bool journal_confess(Journal *journal, uint64_t now) {
        const Record record = tally_record(&journal->lost, RECORD_LOST);

        if (journal->lost.records == 0)
                return true;
        if (!journal_put(journal, &record, now))
                return false;
        journal->lost = (Tally){};
        return true;
}

/* Counts a connection that was refused and gets no record. */
static void journal_add_refusal(Journal *journal, const Record *record) {
        char source[ADDRESS_TEXT_SIZE];

        journal->refusals_limit = record->limit;
        address_cut_source(record->peer, source);
        for (uint32_t i = 0; i < journal->n_refusals; i++)
                if (strcmp(journal->refusals[i].source, source) == 0) {
                        journal->refusals[i].n++;
                        return;
                }
        if (journal->n_refusals == REFUSALS_MOST) {
                journal->other_refusals++;
                return;
        }
        memcpy(journal->refusals[journal->n_refusals].source, source, sizeof source);
        journal->refusals[journal->n_refusals++].n = 1;
}

/* The busiest source first; of equal ones the one by its name, so that the order is always the
 * same. */
static int refusals_compare(const void *one, const void *other) {
        const Refusals *first = one, *second = other;

        if (first->n != second->n)
                return first->n > second->n ? -1 : 1;
        return strcmp(first->source, second->source);
}

static void journal_summarize_refusals(Journal *journal, uint64_t duration, uint64_t now) {
        Record record = { .kind = RECORD_REFUSALS,
                          .limit = journal->refusals_limit,
                          .duration = duration };

        qsort(journal->refusals, journal->n_refusals, sizeof journal->refusals[0],
              refusals_compare);
        for (uint32_t i = 0; i < journal->n_refusals; i++) {
                record.peer = journal->refusals[i].source;
                record.refused = journal->refusals[i].n;
                if (i < REFUSALS_TOLD)
                        journal_write(journal, &record, now);
                else
                        journal->other_refusals += record.refused;
        }
        record.peer = NULL;
        record.refused = journal->other_refusals;
        if (record.refused > 0)
                journal_write(journal, &record, now);
        journal->n_refusals = 0;
        journal->other_refusals = 0;
}

/* The priority of a connection that has echoed nothing is the caller's. When it is accepted nobody
 * knows yet. */
static Record journal_set_priority(const Journal *journal, const Record *record) {
        const bool empty = record->kind == RECORD_ACCEPTED ||
                           (record->kind == RECORD_CLOSED && record->bytes == 0);
        Record copy = *record;

        if (empty && journal->empty_level > record_priority(record))
                copy.less_urgent = journal->empty_level - record_priority(record);
        return copy;
}

void journal_set_empty_level(Journal *journal, int level) {
        journal->empty_level = level;
}

void journal_write(Journal *journal, const Record *original, uint64_t now) {
        const Record copy = journal_set_priority(journal, original), *record = &copy;

        if (record_priority(record) > journal->level)
                return;
        if (record_is_of_connection(record->kind) && !journal_has_token(journal, now)) {
                if (journal->summary.records == 0) {
                        journal->summary_since = now;
                        journal->summary_deadline = now + CLOCK_SECOND;
                }
                tally_add(&journal->summary, record);
                if (record->kind == RECORD_REFUSED)
                        journal_add_refusal(journal, record);
        } else if (!journal_confess(journal, now) || !journal_put(journal, record, now)) {
                tally_add(&journal->lost, record);
        }
}

/* Returns whether it could be written. */
static bool journal_summarize(Journal *journal, uint64_t now) {
        Record record = tally_record(&journal->summary, RECORD_SUMMARY);

        record.duration = now - journal->summary_since;
        if (journal->summary.records == 0)
                return true;
        /* Otherwise it goes on counting for another second. */
        journal->summary_deadline = now + CLOCK_SECOND;
        if (!journal_confess(journal, now) || !journal_put(journal, &record, now))
                return false;
        journal->summary = (Tally){};
        journal->summary_deadline = CLOCK_NEVER;
        journal_summarize_refusals(journal, record.duration, now);
        return true;
}

void journal_tick(Journal *journal, uint64_t now) {
        if (journal->drain_deadline <= now && journal_drain(journal, now))
                (void)journal_confess(journal, now);
        if (journal->summary_deadline <= now)
                (void)journal_summarize(journal, now);
}

uint64_t journal_deadline(const Journal *journal) {
        return clock_earlier(journal->drain_deadline, journal->summary_deadline);
}

void journal_finish(Journal *journal, uint64_t patience) {
        const uint64_t deadline = clock_now() + patience;

        for (;;) {
                uint64_t now = clock_now();

                /* First makes room for what is still to be said. */
                if (journal_drain(journal, now) && journal_confess(journal, now) &&
                    journal_summarize(journal, now) && journal_drain(journal, now))
                        return;
                if (now >= deadline)
                        return;
                (void)poll(NULL, 0, 1);
        }
}
