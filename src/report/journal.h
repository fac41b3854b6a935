/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report/record.h"

typedef struct Journal Journal;

/* Where records go. */
typedef enum LogTarget {
        LOG_TARGET_AUTO, /* the journal when it reads stderr, else stderr */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
} LogTarget;

/*
 * Where records go, and when.
 *
 * Writing never waits. What the journal or stderr does not take at once is queued, and when the
 * queue is full it is lost, and the next record that there is room for says how many were.
 *
 * Accepted, closed, crashed and refused are queued as well when there was one in the last 10 ms,
 * and written together when these are over, or another kind of record is written: who reads them is
 * woken a hundred times a second at most, not for each. A process that is killed takes with it what
 * it has queued.
 *
 * Accepted, closed, crashed and refused are told one by one up to 200 a second, with a burst of
 * 1000; above that they are counted, and a summary says the counts each second. One-by-one records,
 * summaries and lost ones together account for every connection. Refused ones are summed by source
 * as well, with a RECORD_REFUSALS each for the ten busiest sources and for the rest.
 */

/* The well-known socket of systemd-journald(8). */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/*
 * journal_target: @target itself, or for LOG_TARGET_AUTO the journal when stderr is the stream that
 * $JOURNAL_STREAM names (systemd.exec(5)), or when stderr is the same socket as stdin, because a
 * line there would reach an inetd's client; else stderr.
 */
LogTarget journal_target(LogTarget target);

/*
 * journal_new: opens what journal_target() says of @target.
 *
 * @level: records of a less important priority are not written. Summaries and lost records are:
 * they stand for records that would have been.
 * @socket: path of the journal's socket.
 *
 * Returns 0 and sets @ret_journal, which the caller frees with journal_free(); or a negative errno.
 */
int journal_new(LogTarget target, int level, const char *socket, Journal **ret_journal);

/*
 * journal_set_empty_level: gives records of connections that have echoed nothing this priority,
 * where it is a less important one than theirs, and those of accepted connections, of which nobody
 * knows yet. At first they have their own.
 */
void journal_set_empty_level(Journal *journal, int level);

/*
 * journal_free: frees @journal, which may be NULL, with what is queued; see journal_finish().
 * Returns NULL.
 */
Journal *journal_free(Journal *journal);

/*
 * journal_write: writes, queues or counts @record at @now, an instant of clock_now().
 */
void journal_write(Journal *journal, const Record *record, uint64_t now);

/*
 * journal_tick: writes what is due at @now: what was queued, how many were lost, the summary.
 * journal_deadline: when that is next; CLOCK_NEVER when everything has been written.
 */
void journal_tick(Journal *journal, uint64_t now);
uint64_t journal_deadline(const Journal *journal);

/*
 * journal_finish: writes everything that is left, without regard to when it is due. Waits for the
 * journal to take it, for @patience nanoseconds at most.
 */
void journal_finish(Journal *journal, uint64_t patience);
