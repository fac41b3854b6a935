/* SPDX-License-Identifier: MIT */
/*
 * Counts and logs what happens to connections while they have handlers of this master.
 * connections.c and answers.c decide; here the record and the count of each decision are side by
 * side. takeover.c does the same for connections that ended without a master, and backoff.c writes
 * the record when accept4(2) or fork(2) fails.
 *
 * Each connection counts once as accepted and once as closed or crashed, or else once as refused.
 * The counts are in the ledger: a crash of the master loses none, and the next one goes on with
 * them. A connection without a valid PROXY header was never accepted, so its end is a refusal.
 *
 * Nothing here may decide: all numbers of handlers are reported as they are.
 */
#include "server/account.h"

#include <sys/wait.h>

#include "handler/handler.h"
#include "handler/proxy.h"
#include "lib/clock.h"

/* From one record of a reached limit to the next. */
#define FULL_PAUSE (60 * CLOCK_SECOND)

MetricsCounts *account_counts(const Connections *connections) {
        return &ledger_counts(roster_ledger(connections->roster))->metrics;
}

/* Returns how many connections there are, with those that go on without this master. */
static uint64_t account_live(const Connections *connections) {
        return roster_live(connections->roster) + connections->handed_over;
}

/* Returns the record of @connection, valid until the connection is removed. */
static Record account_record(const Connections *connections, RecordKind kind,
                             const Connection *connection, uint64_t now) {
        return (Record){ .kind = kind,
                         .peer = connection->peer_text,
                         .proxy = connection->proxy_text[0] != '\0' ? connection->proxy_text : NULL,
                         .listener = connection->listener->text,
                         .listener_name = connection->listener->name,
                         .handler_pid = (uint64_t)connection->handler,
                         .bytes = connection->ledger->bytes,
                         .duration = now - connection->started,
                         .live = account_live(connections) };
}

void account_accepted(Connections *connections, const Connection *connection, uint64_t now) {
        const Record record = account_record(connections, RECORD_ACCEPTED, connection, now);

        account_counts(connections)->accepted++;
        journal_write(connections->journal, &record, now);
}

void account_refused(Connections *connections, const Address *peer, const char *proxy,
                     const Listener *listener, int limit, const char *reason, uint64_t now) {
        const uint64_t most = connections->options->max_per_source;
        char text[ADDRESS_TEXT_SIZE];

        address_format(peer, text);
        account_counts(connections)->refused[limit]++;
        journal_write(connections->journal,
                      &(Record){ .kind = RECORD_REFUSED,
                                 .peer = text,
                                 .proxy = proxy,
                                 .listener = listener->text,
                                 .listener_name = listener->name,
                                 .reason = reason,
                                 .limit = metrics_limit_text(limit),
                                 .limit_value = limit == METRICS_MAX_PER_SOURCE ? most : 0,
                                 .live = account_live(connections) },
                      now);
}

const char *account_refusal(int code) {
        const char *error = code > HANDLER_HEADER ? proxy_error_text(code - HANDLER_HEADER) : NULL;

        return error != NULL ? error : end_reason_text(end_reason_from_exit_code(code));
}

void account_full(Connections *connections, uint64_t now) {
        const uint32_t live = roster_live(connections->roster);

        if (live < connections->options->max_connections || now < connections->full_deadline)
                return;
        connections->full_deadline = now + FULL_PAUSE;
        journal_write(connections->journal,
                      &(Record){ .kind = RECORD_FULL,
                                 .max_connections = connections->options->max_connections,
                                 .live = live },
                      now);
}

void account_ended(Connections *connections, const Connection *ended, bool crashed, int status,
                   uint64_t now) {
        const int code = WIFSIGNALED(status) ? END_STOPPED : WEXITSTATUS(status);
        const EndReason reason = end_reason_from_exit_code(code);
        Record record;

        if (ended->state == LEDGER_REFUSED)
                return;
        if (ended->state == LEDGER_SILENT) {
                account_refused(connections, &ended->peer, NULL, ended->listener,
                                METRICS_PROXY_HEADER, account_refusal(code), now);
                return;
        }
        record = account_record(connections, crashed ? RECORD_CRASHED : RECORD_CLOSED, ended, now);
        if (crashed)
                record.signal = (uint64_t)WTERMSIG(status);
        else
                record.reason = end_reason_text(reason);
        metrics_count_end(account_counts(connections), crashed, reason, record.duration);
        journal_write(connections->journal, &record, now);
}

Record account_totals(const Connections *connections, RecordKind kind, uint64_t now) {
        const LedgerCounts *counts = ledger_counts(roster_ledger(connections->roster));
        Record record = { .kind = kind,
                          .live = account_live(connections),
                          .peak = counts->peak,
                          .max_connections = connections->options->max_connections,
                          .served = counts->metrics.accepted,
                          .refused = metrics_refused(&counts->metrics),
                          .bytes = roster_total_bytes(connections->roster),
                          .duration = now - counts->started };

        datagrams_add_totals(connections->datagrams, &record);
        return record;
}

Metrics account_metrics(const Connections *connections) {
        Metrics metrics = { .counts = *account_counts(connections),
                            .live = account_live(connections),
                            .limit = connections->options->max_connections };

        metrics.counts.bytes = roster_total_bytes(connections->roster);
        return metrics;
}

void account_report(Connections *connections, uint64_t now) {
        Record record;

        for (const Connection *connection = roster_next(connections->roster, NULL);
             connection != NULL; connection = roster_next(connections->roster, connection)) {
                record = account_record(connections, RECORD_CONNECTION, connection, now);
                journal_write(connections->journal, &record, now);
        }
        record = account_totals(connections, RECORD_TOTALS, now);
        journal_write(connections->journal, &record, now);
}
