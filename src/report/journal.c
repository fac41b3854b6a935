/* SPDX-License-Identifier: MIT */
/*
 * Writes records to journald's socket or stderr. Every record passes the same three stages.
 *
 * The rate: a token bucket limits the records of connections; summary.c counts those beyond it. The
 * queue: each record goes through it, so that the order stays. The drain: it sends the queue until
 * the receiver refuses a record, and tries again after 2 ms, doubling up to a second. Records of
 * connections wait for a drain every 10 ms, because waking journald can cost more than the record.
 *
 * A record that finds the queue full is lost, and counted. Before the next one the journal
 * reports the count, in its order. So each record in the queue has its counts with it: those of
 * the records that still wait when the service ends go to the next run.
 *
 * Nothing here may block but journal_finish(). Each connection must appear in a record, a summary
 * or a count of lost records: none may vanish.
 */
#include "report/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/mapping.h"
#include "lib/stdfds.h"
#include "report/summary.h"

enum {
        QUEUE_SIZE = 1024 * 1024, /* about 2,000 records of connections */
        TIME_SIZE = 32,
        TOKENS_PER_SECOND = 200,
        TOKENS_MOST = 1000,
};

#define BATCH (10 * CLOCK_MILLISECOND)

#define RETRY_FIRST (2 * CLOCK_MILLISECOND)
#define RETRY_MOST  CLOCK_SECOND

/* Precedes each record in the queue. */
typedef struct QueueItem {
        size_t size; /* of the record, in bytes */
        RecordKind kind;
        Tally tally; /* of this record alone */
} QueueItem;

/* Records that wait, first in, first out. All zeros is an empty queue. */
typedef struct Queue {
        size_t head; /* of the first record, in bytes */
        size_t tail; /* behind the last one */
        char data[QUEUE_SIZE];
} Queue;

struct Journal {
        int fd;        /* a socket for the journal, or a copy of stderr */
        bool lines;    /* the latter */
        bool prefixed; /* lines on stderr begin with their priority */
        int level;
        int empty_level;
        struct sockaddr_un socket;
        uint64_t tokens; /* in nanoseconds: a token grows in CLOCK_SECOND / TOKENS_PER_SECOND */
        uint64_t tokens_counted;
        Summary summary;           /* of records beyond the rate */
        uint64_t summary_deadline; /* CLOCK_NEVER without a summary */
        Tally lost;
        uint64_t lost_untaken;           /* by journal_take_lost() */
        uint64_t drained;                /* the instant of the last empty queue */
        uint64_t drain_deadline;         /* CLOCK_NEVER with an empty queue */
        uint64_t retry;                  /* the next delay after a refusal */
        bool refused;                    /* the receiver refused the first record of the queue */
        char sentence[RECORD_SIZE - 48]; /* of the record that is being written */
        char data[RECORD_SIZE]; /* its message; the stack is wiped before each fork (wipe.c) */
        Queue queue;
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

/* Returns a socket for the journal or, for @lines, a copy of stderr: stdfds_detach() can replace
 * that. No line may reach a client that is stderr. Returns a negative errno without room for it. */
static int journal_open(bool lines) {
        const int room = 8 * 1024 * 1024;
        int fd;

        if (lines)
                fd = stdfds_stderr_is_stdin() ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                                              : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        else
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (!lines) {
                /* Room for a burst. SO_SNDBUFFORCE exceeds net.core.wmem_max, with a capability. */
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        }
        return fd;
}

int journal_new(LogTarget target, int level, const char *socket_path, Journal **ret_journal) {
        Journal *journal;

        journal = mapping_new_unforked(sizeof *journal);
        if (journal == NULL)
                return -errno;
        journal->level = level;
        journal->summary_deadline = CLOCK_NEVER;
        journal->drain_deadline = CLOCK_NEVER;
        journal->retry = RETRY_FIRST;
        journal->tokens = TOKENS_MOST * (CLOCK_SECOND / TOKENS_PER_SECOND);
        journal->prefixed = stderr_is_journal();
        journal->socket.sun_family = AF_UNIX;
        snprintf(journal->socket.sun_path, sizeof journal->socket.sun_path, "%s", socket_path);
        journal->lines = journal_target(target) == LOG_TARGET_STDERR;
        journal->fd = journal_open(journal->lines);
        if (journal->fd < 0) {
                const int r = journal->fd;

                mapping_free(journal, sizeof *journal);
                return r;
        }
        *ret_journal = journal;
        return 0;
}

Journal *journal_free(Journal *journal) {
        if (journal == NULL)
                return NULL;
        close(journal->fd);
        return mapping_free(journal, sizeof *journal);
}

/* Returns whether the receiver accepted @data. Sends by path each time, because a restarted
 * journald has a new socket. A line is shorter than PIPE_BUF, so a ready pipe accepts it whole
 * (pipe(7)). */
static bool journal_send(const Journal *journal, const char *data, size_t size) {
        struct pollfd ready = { .fd = journal->fd, .events = POLLOUT };

        if (!journal->lines)
                return sendto(journal->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (const struct sockaddr *)&journal->socket,
                              sizeof journal->socket) >= 0;
        return poll(&ready, 1, 0) == 1 && write(journal->fd, data, size) >= 0;
}

/* Writes the time of day in UTC (RFC 3339): local time needs files that the sandbox hides. */
static void time_format(char text[static TIME_SIZE]) {
        const time_t now = time(NULL);
        struct tm parts;

        (void)gmtime_r(&now, &parts);
        if (strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
                text[0] = '\0';
}

/* Writes the message of @record to data. Returns its size. */
static size_t journal_format(Journal *journal, const Record *record) {
        char *data = journal->data, *sentence = journal->sentence, text[TIME_SIZE];

        if (!journal->lines)
                return record_format_journal(record, data);
        record_format_sentence(record, sentence, sizeof journal->sentence);
        if (journal->prefixed)
                return (size_t)snprintf(data, RECORD_SIZE, "<%d>%s\n", record_priority(record),
                                        sentence);
        time_format(text);
        return (size_t)snprintf(data, RECORD_SIZE, "%s mpecho: %s\n", text, sentence);
}

/* Queues a copy of @item and of its record at @data. Returns whether there was room. */
static bool queue_add(Queue *queue, const QueueItem *item, const char *data) {
        const size_t needed = sizeof *item + item->size;

        if (queue->head > 0 && QUEUE_SIZE - queue->tail < needed) {
                memmove(queue->data, queue->data + queue->head, queue->tail - queue->head);
                queue->tail -= queue->head;
                queue->head = 0;
        }
        if (QUEUE_SIZE - queue->tail < needed)
                return false;
        memcpy(queue->data + queue->tail, item, sizeof *item);
        memcpy(queue->data + queue->tail + sizeof *item, data, item->size);
        queue->tail += needed;
        return true;
}

/* Returns the first record and sets @ret_item, or NULL when none waits. */
static const char *queue_first(const Queue *queue, QueueItem *ret_item) {
        if (queue->head == queue->tail)
                return NULL;
        memcpy(ret_item, queue->data + queue->head, sizeof *ret_item);
        return queue->data + queue->head + sizeof *ret_item;
}

/* Removes the first record, which is that of @item. */
static void queue_remove(Queue *queue, const QueueItem *item) {
        queue->head += sizeof *item + item->size;
        if (queue->head == queue->tail)
                queue->head = queue->tail = 0;
}

/* Sends the queue until the receiver refuses a record. Returns whether the queue is empty. */
static bool journal_drain(Journal *journal, uint64_t now) {
        const char *data;
        QueueItem item;

        while ((data = queue_first(&journal->queue, &item)) != NULL) {
                if (!journal_send(journal, data, item.size)) {
                        journal->refused = true;
                        journal->drain_deadline = now + journal->retry;
                        journal->retry = clock_earlier(2 * journal->retry, RETRY_MOST);
                        return false;
                }
                queue_remove(&journal->queue, &item);
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

/* Sends or queues @record. Returns false if the queue is full. */
static bool journal_put(Journal *journal, const Record *record, uint64_t now) {
        const uint64_t next_batch = journal->drained + BATCH;
        QueueItem item = { .size = journal_format(journal, record), .kind = record->kind };

        tally_add(&item.tally, record);
        if (!queue_add(&journal->queue, &item, journal->data))
                return false;
        if (journal->refused)
                return true;
        if (record_is_of_connection(record->kind) && now < next_batch)
                journal->drain_deadline = next_batch;
        else
                (void)journal_drain(journal, now);
        return true;
}

/* Takes a token. Returns whether there was one. */
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

/* Writes the count of lost records. Returns whether none is left to report. */
static bool journal_report_lost(Journal *journal, uint64_t now) {
        const Record record = tally_record(&journal->lost, RECORD_LOST);

        if (journal->lost.records == 0)
                return true;
        if (!journal_put(journal, &record, now))
                return false;
        journal->lost = (Tally){};
        return true;
}

/* Returns @record with the priority of empty connections if it is of one. An accepted connection
 * may become one. */
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
                if (summary_add(&journal->summary, record, now))
                        journal->summary_deadline = now + CLOCK_SECOND;
        } else if (!journal_report_lost(journal, now) || !journal_put(journal, record, now)) {
                tally_add(&journal->lost, record);
                journal->lost_untaken++;
        }
}

uint64_t journal_take_lost(Journal *journal) {
        const uint64_t lost = journal->lost_untaken;

        journal->lost_untaken = 0;
        return lost;
}

/* Writes the summary. Returns whether nothing is left to summarize. */
static bool journal_summarize(Journal *journal, uint64_t now) {
        Record records[SUMMARY_RECORDS];
        const size_t n = summary_records(&journal->summary, records, now);

        if (n == 0)
                return true;
        /* Without room, the summary goes on for another second. */
        journal->summary_deadline = now + CLOCK_SECOND;
        if (!journal_report_lost(journal, now) || !journal_put(journal, &records[0], now))
                return false;
        journal->summary_deadline = CLOCK_NEVER;
        for (size_t i = 1; i < n; i++)
                journal_write(journal, &records[i], now);
        summary_clear(&journal->summary);
        return true;
}

void journal_tick(Journal *journal, uint64_t now) {
        if (journal->drain_deadline <= now && journal_drain(journal, now))
                (void)journal_report_lost(journal, now);
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

                /* The first drain makes room for the counts. */
                if (journal_drain(journal, now) && journal_report_lost(journal, now) &&
                    journal_summarize(journal, now) && journal_drain(journal, now))
                        return;
                if (now >= deadline)
                        return;
                (void)poll(NULL, 0, 1);
        }
}

void journal_abandon(Journal *journal, Tally *ret_lost) {
        QueueItem item;

        while (queue_first(&journal->queue, &item) != NULL) {
                tally_merge(&journal->lost, &item.tally);
                /* The others were counted when they were lost. */
                journal->lost_untaken += item.kind != RECORD_LOST;
                queue_remove(&journal->queue, &item);
        }
        /* It would have been one record. */
        if (journal->summary.tally.records > 0) {
                journal->summary.tally.records = 1;
                tally_merge(&journal->lost, &journal->summary.tally);
                journal->lost_untaken++;
        }
        summary_clear(&journal->summary);
        journal->summary_deadline = journal->drain_deadline = CLOCK_NEVER;
        *ret_lost = journal->lost;
        journal->lost = (Tally){};
}

void journal_adopt_lost(Journal *journal, const Tally *lost) {
        tally_merge(&journal->lost, lost);
}
