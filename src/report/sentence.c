/* SPDX-License-Identifier: MIT */
/*
 * Writes the sentences of records: a function for each sentence, and a table with the function of
 * each kind. Each sentence makes sense without the fields: stderr and STATUS= get nothing else.
 *
 * Nouns follow their numbers: "1 byte", "2 bytes". Nothing here may decide what a record means, or
 * read a member that its kind does not set.
 */
#include "report/sentence.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "lib/clock.h"

static void line_add_duration(Line *line, uint64_t duration) {
        line_add(line, "%" PRIu64 ".%03" PRIu64 " s", duration / CLOCK_SECOND,
                 duration / CLOCK_MILLISECOND % 1000);
}

/* Returns the ending of a noun that @n stands before. */
static const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

static void line_add_counts(Line *line, const Record *record) {
        line_add(line,
                 "%" PRIu64 " accepted, %" PRIu64 " closed, %" PRIu64 " crashed, %" PRIu64
                 " refused, %" PRIu64 " byte%s echoed",
                 record->accepted, record->closed, record->crashed, record->refused, record->bytes,
                 plural(record->bytes));
}

static void line_add_totals(Line *line, const Record *record) {
        const bool full = record->max_connections > 0 && record->live >= record->max_connections;

        line_add(line,
                 "%" PRIu64 " live%s (peak %" PRIu64 "), %" PRIu64 " served, %" PRIu64
                 " refused, %" PRIu64 " byte%s echoed",
                 record->live, full ? ", the limit" : "", record->peak, record->served,
                 record->refused, record->bytes, plural(record->bytes));
        if (record->datagram_sockets > 0)
                line_add(line,
                         "; %" PRIu64 " datagram%s answered, %" PRIu64 " refused, %" PRIu64
                         " dropped",
                         record->datagrams_answered, plural(record->datagrams_answered),
                         record->datagrams_refused, record->datagrams_dropped);
}

static void line_add_started(Line *line, const Record *record) {
        const bool listens = record->listener[0] != '\0';

        line_add(line, "Echoing (RFC 862) on %s, up to %" PRIu64 " connection%s at once",
                 listens ? record->listener : "no listening socket", record->max_connections,
                 plural(record->max_connections));
}

static void line_add_stopped(Line *line, const Record *record) {
        line_add(line, "Stopped with the counts of the last ");
        line_add_duration(line, record->duration);
        line_add(line, ": ");
        line_add_totals(line, record);
}

static void line_add_accepted(Line *line, const Record *record) {
        line_add(line, "%s connected to %s", record->peer, record->listener);
        if (record->proxy != NULL)
                line_add(line, " through %s", record->proxy);
        line_add(line, ", process %" PRIu64 ", %" PRIu64 " live", record->handler_pid,
                 record->live);
}

static void line_add_closed(Line *line, const Record *record) {
        line_add(line, "%s disconnected from %s, %s: %" PRIu64 " byte%s echoed in ", record->peer,
                 record->listener, record->reason, record->bytes, plural(record->bytes));
        line_add_duration(line, record->duration);
        line_add(line, ", %" PRIu64 " live", record->live);
}

static void line_add_crashed(Line *line, const Record *record) {
        const char *signal = sigabbrev_np((int)record->signal);

        if (record->signal != 0)
                line_add(line, "Signal %" PRIu64 " (SIG%s) killed the handler of ", record->signal,
                         signal != NULL ? signal : "?");
        else
                line_add(line, "systemd's store lacks the connection of ");
        line_add(line, "%s, process %" PRIu64 ": %" PRIu64 " byte%s echoed in ", record->peer,
                 record->handler_pid, record->bytes, plural(record->bytes));
        line_add_duration(line, record->duration);
        line_add(line, ", %" PRIu64 " live", record->live);
}

static void line_add_connection(Line *line, const Record *record) {
        line_add(line, "%s is connected to %s, process %" PRIu64 ": %" PRIu64 " byte%s echoed in ",
                 record->peer, record->listener, record->handler_pid, record->bytes,
                 plural(record->bytes));
        line_add_duration(line, record->duration);
}

static void line_add_refused(Line *line, const Record *record) {
        line_add(line, "Refused %s at %s: ", record->peer, record->listener);
        if (record->reason != NULL)
                line_add(line, "%s", record->reason);
        else if (strcmp(record->limit, RECORD_LIMIT_FROM) == 0)
                line_add(line, "--%s does not list it", record->limit);
        else
                line_add(line, "its source has %" PRIu64 " connection%s, the limit of --%s",
                         record->limit_value, plural(record->limit_value), record->limit);
}

static void line_add_full(Line *line, const Record *record) {
        line_add(line,
                 "Reached the limit of --max-connections=%" PRIu64
                 ": new clients wait until a connection ends",
                 record->max_connections);
}

static void line_add_refusals(Line *line, const Record *record) {
        line_add(line, "Refused %s %" PRIu64 " time%s in the last ",
                 record->peer != NULL ? record->peer : "other sources", record->refused,
                 plural(record->refused));
        line_add_duration(line, record->duration);
        if (strcmp(record->limit, RECORD_LIMIT_SEVERAL) == 0)
                line_add(line, " for several reasons");
        else if (strcmp(record->limit, RECORD_LIMIT_HEADER) == 0)
                line_add(line, " because of the PROXY header");
        else
                line_add(line, " because of --%s", record->limit);
}

static void line_add_exhausted(Line *line, const Record *record) {
        line_add(line, "Cannot accept connections at %s: %s (limit: %s), %" PRIu64 " refused",
                 record->listener, strerrordesc_np((int)record->error), record->limit,
                 record->refused);
}

static void line_add_summary(Line *line, const Record *record) {
        line_add(line, "Suppressed in the last ");
        line_add_duration(line, record->duration);
        line_add(line, ": ");
        line_add_counts(line, record);
}

static void line_add_lost(Line *line, const Record *record) {
        line_add(line, "Lost %" PRIu64 " record%s, of connections: ", record->lost,
                 plural(record->lost));
        line_add_counts(line, record);
}

static void line_add_limited(Line *line, const Record *record) {
        line_add(line, "%s is %" PRIu64 ", too low for --max-connections=%" PRIu64, record->limit,
                 record->limit_value, record->max_connections);
}

static void line_add_resumed(Line *line, const Record *record) {
        line_add(line, "%" PRIu64 " %s", record->live,
                 record->live == 1 ? "connection of the last run goes on"
                                   : "connections of the last run go on");
}

static void line_add_unnamed(Line *line, const Record *record) {
        (void)record;
        line_add(line, "Ignoring LISTEN_FDNAMES: it does not name each passed file descriptor");
}

static void line_add_recounted(Line *line, const Record *record) {
        (void)record;
        line_add(line, "Counts begin at 0 again: those of the last run are missing, or have "
                       "another form");
}

static void line_add_datagrams(Line *line, const Record *record) {
        line_add(line, "Datagrams at %s in the last ", record->listener);
        line_add_duration(line, record->duration);
        line_add(line,
                 ": %" PRIu64 " answered, %" PRIu64 " refused (source %" PRIu64
                 ", destination %" PRIu64 ", port %" PRIu64 ", self %" PRIu64 ", rate %" PRIu64
                 ", overall %" PRIu64 "), %" PRIu64 " dropped, %" PRIu64 " byte%s echoed",
                 record->answered, record->refused, record->refused_source,
                 record->refused_destination, record->refused_port, record->refused_self,
                 record->refused_rate, record->refused_overall, record->dropped, record->bytes,
                 plural(record->bytes));
}

static void line_add_unserved(Line *line, const Record *record) {
        line_add(line, "Cannot start the handler of %s: %s (limit: %s)", record->listener,
                 strerrordesc_np((int)record->error), record->limit);
}

static void line_add_restarted(Line *line, const Record *record) {
        const char *signal = sigabbrev_np((int)record->signal);

        if (record->signal > 0)
                line_add(line,
                         "Signal %" PRIu64 " (SIG%s) killed the handler of %s, process %" PRIu64,
                         record->signal, signal != NULL ? signal : "?", record->listener,
                         record->handler_pid);
        else
                line_add(line, "The handler of %s, process %" PRIu64 ", ended", record->listener,
                         record->handler_pid);
        line_add(line, "; the next one starts in ");
        line_add_duration(line, record->duration);
}

static void line_add_text(Line *line, const Record *record) {
        line_add(line, "%s", record->sentence);
}

void sentence_add(Line *line, const Record *record) {
        static void (*const sentences[RECORD_COUNT])(Line * line, const Record *record) = {
                [RECORD_STARTED] = line_add_started,     [RECORD_STOPPED] = line_add_stopped,
                [RECORD_ACCEPTED] = line_add_accepted,   [RECORD_CLOSED] = line_add_closed,
                [RECORD_CRASHED] = line_add_crashed,     [RECORD_REFUSED] = line_add_refused,
                [RECORD_FULL] = line_add_full,           [RECORD_REFUSALS] = line_add_refusals,
                [RECORD_SUMMARY] = line_add_summary,     [RECORD_LOST] = line_add_lost,
                [RECORD_EXHAUSTED] = line_add_exhausted, [RECORD_CONNECTION] = line_add_connection,
                [RECORD_TOTALS] = line_add_totals,       [RECORD_LIMITED] = line_add_limited,
                [RECORD_STRANGER] = line_add_text,       [RECORD_UNNAMED] = line_add_unnamed,
                [RECORD_RECOUNTED] = line_add_recounted, [RECORD_RESUMED] = line_add_resumed,
                [RECORD_DATAGRAMS] = line_add_datagrams, [RECORD_SOCKET] = line_add_datagrams,
                [RECORD_RESTARTED] = line_add_restarted, [RECORD_UNSERVED] = line_add_unserved,
                [RECORD_FAILED] = line_add_text,
        };

        sentences[record->kind](line, record);
}
