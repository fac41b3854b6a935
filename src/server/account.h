/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/connections.h"

/*
 * The counts and the records of connections.
 *
 * account_accepted: Counts and logs @connection, which is served from here on.
 *
 * account_refused: Counts and logs a client @peer of @listener that is reset because of @limit,
 * METRICS_MAX_PER_SOURCE or another. @proxy: that announced @peer, or NULL. @reason: half a
 * sentence, or NULL.
 *
 * account_ended: Counts and logs the connection @ended, whose handler ended with @status
 * (waitpid(2)), by a signal that nobody here sent if it @crashed. A refused one was counted and
 * logged before.
 *
 * account_full: Logs that the limit is reached if it is, at most once a minute: each end lets the
 * next client in.
 */
void account_accepted(Connections *connections, const Connection *connection, uint64_t now);
void account_refused(Connections *connections, const Address *peer, const char *proxy,
                     const Listener *listener, int limit, const char *reason, uint64_t now);
void account_ended(Connections *connections, const Connection *ended, bool crashed, int status,
                   uint64_t now);
void account_full(Connections *connections, uint64_t now);

/* account_refusal: Returns why a connection was refused whose handler exited with @code before it
 * announced a peer: half a sentence, whatever the code. */
const char *account_refusal(int code);

/*
 * account_counts: Returns the counts of the ledger, for the caller to add to; bytes are those of
 * connections that have ended.
 *
 * account_totals: Returns a record of @kind, RECORD_TOTALS or RECORD_STOPPED, with the counts of
 * all connections there were.
 *
 * account_metrics: Returns what a scrape shows, except the start.
 *
 * account_report: Writes a record of each live connection, and one of the totals.
 */
MetricsCounts *account_counts(const Connections *connections);
Record account_totals(const Connections *connections, RecordKind kind, uint64_t now);
Metrics account_metrics(const Connections *connections);
void account_report(Connections *connections, uint64_t now);
