/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "lib/clock.h"
#include "report/record.h"
#include "report/summary.h"

typedef struct Journal Journal;

/* How long the journal has at the end of the service to accept records that wait. */
#define JOURNAL_PATIENCE (CLOCK_SECOND / 2)

/* The destination of records. */
typedef enum LogTarget {
        LOG_TARGET_AUTO, /* see journal_target() */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
} LogTarget;

/*
 * Writes records to the journal or stderr. Only journal_finish() can block.
 *
 * A record that the receiver does not accept waits in a queue. When the queue is full, the journal
 * drops and counts records; a RECORD_LOST with the counts precedes the next record that fits.
 *
 * Records of connections (accepted, closed, crashed, refused) are sent together if they come within
 * 10 ms, or before a record of another kind. At most 200 of them a second are written, after a
 * burst of 1000. Each second a RECORD_SUMMARY counts the suppressed ones, with a RECORD_REFUSALS
 * for each of the ten busiest sources and one for all others. So records, summaries and RECORD_LOST
 * together account for every connection, unless a signal kills the process: its queue is lost.
 */

/* The socket of systemd-journald(8). */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* journal_target: Returns @target, but resolves LOG_TARGET_AUTO: to the journal if stderr is the
 * stream of $JOURNAL_STREAM (systemd.exec(5)), or the same socket as stdin, where an inetd's
 * client would read it; otherwise to stderr. */
LogTarget journal_target(LogTarget target);

/*
 * journal_new: Opens the destination journal_target(@target). Of stderr, which must be open, it
 * keeps a copy; a client that is stderr as well as stdin gets no line.
 *
 * @level: a priority of syslog(3). Less urgent records are neither written nor counted.
 * RECORD_SUMMARY and RECORD_LOST pass always: they count records that pass.
 *
 * @socket: the path of the journal's socket.
 *
 * Returns 0 and sets @ret_journal, which the caller frees with journal_free(); or a negative errno
 * of mmap(2), madvise(2), socket(2), fcntl(2) or open(2).
 */
int journal_new(LogTarget target, int level, const char *socket, Journal **ret_journal);

/* journal_set_empty_level: Gives the priority @level to records of connections that echoed
 * nothing, and to those of accepted connections, unless their own priority is less urgent. The
 * default is their own. */
void journal_set_empty_level(Journal *journal, int level);

/*
 * journal_free: Frees @journal, which may be NULL, with its queue; see journal_finish(). Returns
 * NULL.
 *
 * journal_write: Writes, queues or counts @record at @now, an instant of clock_now().
 *
 * journal_tick: Writes what is due at @now: queued records, RECORD_LOST, the summary.
 * journal_deadline: Returns the instant of the next tick, or CLOCK_NEVER if everything is written.
 */
Journal *journal_free(Journal *journal);
void journal_write(Journal *journal, const Record *record, uint64_t now);
void journal_tick(Journal *journal, uint64_t now);
uint64_t journal_deadline(const Journal *journal);

/*
 * journal_take_lost: Returns how many records were lost since the last call.
 *
 * journal_adopt_lost: Adds @lost, of an earlier run, to what the next RECORD_LOST counts.
 */
uint64_t journal_take_lost(Journal *journal);
void journal_adopt_lost(Journal *journal, const Tally *lost);

/* journal_finish: Writes everything that remains, due or not. Waits at most @patience
 * nanoseconds for the journal to accept it. */
void journal_finish(Journal *journal, uint64_t patience);

/* journal_abandon: Gives up what journal_finish() could not write: it is lost. Sets @ret_lost to
 * the counts of all records for which no RECORD_LOST was written, for journal_adopt_lost() in
 * the next run. */
void journal_abandon(Journal *journal, Tally *ret_lost);
