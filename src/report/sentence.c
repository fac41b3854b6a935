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

static void sentence_add_duration(Line *line, uint64_t duration) {
        line_add(line, "%" PRIu64 ".%03" PRIu64 " s", duration / CLOCK_SECOND,
                 duration / CLOCK_MILLISECOND % 1000);
}

/* Returns the ending of a noun that @n stands before. */
static const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}

/* Adds what a connection has carried, and for how long. */
static void sentence_add_echoed(Line *line, const Record *record) {
        line_add(line, ": %" PRIu64 " byte%s echoed in ", record->bytes, plural(record->bytes));
        sentence_add_duration(line, record->duration);
}

/* Adds which signal ended a handler. */
static void sentence_add_killed(Line *line, const Record *record) {
        const char *signal = sigabbrev_np((int)record->signal);

        line_add(line, "Signal %" PRIu64 " (SIG%s) killed the handler of ", record->signal,
                 signal != NULL ? signal : "?");
}

static void sentence_counts(Line *line, const Record *record) {
        line_add(line,
                 "%" PRIu64 " accepted, %" PRIu64 " closed, %" PRIu64 " crashed, %" PRIu64
                 " refused, %" PRIu64 " byte%s echoed",
                 record->accepted, record->closed, record->crashed, record->refused, record->bytes,
                 plural(record->bytes));
}

static void sentence_totals(Line *line, const Record *record) {
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

static void sentence_started(Line *line, const Record *record) {
        const bool listens = record->listener[0] != '\0';

        line_add(line, "Echoing (RFC 862) on %s, up to %" PRIu64 " connection%s at once",
                 listens ? record->listener : "no listening socket", record->max_connections,
                 plural(record->max_connections));
}

static void sentence_stopped(Line *line, const Record *record) {
        line_add(line, "Stopped with the counts of the last ");
        sentence_add_duration(line, record->duration);
        line_add(line, ": ");
        sentence_totals(line, record);
}

static void sentence_accepted(Line *line, const Record *record) {
        line_add(line, "%s connected to %s", record->peer, record->listener);
        if (record->proxy != NULL)
                line_add(line, " through %s", record->proxy);
        line_add(line, ", process %" PRIu64 ", %" PRIu64 " live", record->handler_pid,
                 record->live);
}

static void sentence_closed(Line *line, const Record *record) {
        line_add(line, "%s disconnected from %s, %s", record->peer, record->listener,
                 record->reason);
        sentence_add_echoed(line, record);
        line_add(line, ", %" PRIu64 " live", record->live);
}

static void sentence_crashed(Line *line, const Record *record) {
        if (record->signal != 0)
                sentence_add_killed(line, record);
        else
                line_add(line, "systemd's store lacks the connection of ");
        line_add(line, "%s, process %" PRIu64, record->peer, record->handler_pid);
        sentence_add_echoed(line, record);
        line_add(line, ", %" PRIu64 " live", record->live);
}

static void sentence_connection(Line *line, const Record *record) {
        line_add(line, "%s is connected to %s, process %" PRIu64, record->peer, record->listener,
                 record->handler_pid);
        sentence_add_echoed(line, record);
}

static void sentence_refused(Line *line, const Record *record) {
        line_add(line, "Refused %s at %s: ", record->peer, record->listener);
        if (record->reason != NULL)
                line_add(line, "%s", record->reason);
        else if (strcmp(record->limit, RECORD_LIMIT_FROM) == 0)
                line_add(line, "--%s does not list it", record->limit);
        else if (strcmp(record->limit, RECORD_LIMIT_MEMORY) == 0)
                line_add(line, "the service is near its limit on memory");
        else
                line_add(line, "its source has %" PRIu64 " connection%s, the limit of --%s",
                         record->limit_value, plural(record->limit_value), record->limit);
}

static void sentence_full(Line *line, const Record *record) {
        line_add(line,
                 "Reached the limit of --max-connections=%" PRIu64
                 ": new clients wait until a connection ends",
                 record->max_connections);
}

static void sentence_refusals(Line *line, const Record *record) {
        line_add(line, "Refused %s %" PRIu64 " time%s in the last ",
                 record->peer != NULL ? record->peer : "other sources", record->refused,
                 plural(record->refused));
        sentence_add_duration(line, record->duration);
        if (strcmp(record->limit, RECORD_LIMIT_SEVERAL) == 0)
                line_add(line, " for several reasons");
        else if (strcmp(record->limit, RECORD_LIMIT_HEADER) == 0)
                line_add(line, " because of the PROXY header");
        else if (strcmp(record->limit, RECORD_LIMIT_MEMORY) == 0)
                line_add(line, " because of the limit on memory");
        else
                line_add(line, " because of --%s", record->limit);
}

static void sentence_exhausted(Line *line, const Record *record) {
        line_add(line, "Cannot accept connections at %s: %s (limit: %s), %" PRIu64 " refused",
                 record->listener, strerrordesc_np((int)record->error), record->limit,
                 record->refused);
}

static void sentence_summary(Line *line, const Record *record) {
        line_add(line, "Suppressed in the last ");
        sentence_add_duration(line, record->duration);
        line_add(line, ": ");
        sentence_counts(line, record);
}

static void sentence_lost(Line *line, const Record *record) {
        line_add(line, "Lost %" PRIu64 " record%s, of connections: ", record->lost,
                 plural(record->lost));
        sentence_counts(line, record);
}

static void sentence_limited(Line *line, const Record *record) {
        line_add(line, "%s is %" PRIu64 ", too low for --max-connections=%" PRIu64, record->limit,
                 record->limit_value, record->max_connections);
}

static void sentence_resumed(Line *line, const Record *record) {
        line_add(line, "%" PRIu64 " %s", record->live,
                 record->live == 1 ? "connection of the last run goes on"
                                   : "connections of the last run go on");
}

static void sentence_unnamed(Line *line, const Record *record) {
        (void)record;
        line_add(line, "Ignoring LISTEN_FDNAMES: it does not name each passed file descriptor");
}

static void sentence_recounted(Line *line, const Record *record) {
        (void)record;
        line_add(line, "Counts begin at 0 again: those of the last run are missing, or have "
                       "another form");
}

static void sentence_datagrams(Line *line, const Record *record) {
        const uint64_t *by = record->refused_by;

        line_add(line, "Datagrams at %s in the last ", record->listener);
        sentence_add_duration(line, record->duration);
        line_add(line,
                 ": %" PRIu64 " answered, %" PRIu64 " refused (source %" PRIu64
                 ", destination %" PRIu64 ", port %" PRIu64 ", self %" PRIu64 ", rate %" PRIu64
                 ", overall %" PRIu64 "), %" PRIu64 " dropped, %" PRIu64 " byte%s echoed",
                 record->answered, record->refused, by[METRICS_SOURCE], by[METRICS_DESTINATION],
                 by[METRICS_PORT], by[METRICS_SELF], by[METRICS_RATE], by[METRICS_OVERALL],
                 record->dropped, record->bytes, plural(record->bytes));
}

static void sentence_unserved(Line *line, const Record *record) {
        line_add(line, "Cannot start the handler of %s: %s (limit: %s)", record->listener,
                 strerrordesc_np((int)record->error), record->limit);
}

static void sentence_restarted(Line *line, const Record *record) {
        if (record->signal > 0)
                sentence_add_killed(line, record);
        else
                line_add(line, "The handler of ");
        line_add(line, "%s, process %" PRIu64 "%s; the next one starts in ", record->listener,
                 record->handler_pid, record->signal > 0 ? "" : ", ended");
        sentence_add_duration(line, record->duration);
}

static void sentence_text(Line *line, const Record *record) {
        line_add(line, "%s", record->sentence);
}

void sentence_add(Line *line, const Record *record) {
        static void (*const sentences[RECORD_COUNT])(Line * line, const Record *record) = {
                [RECORD_STARTED] = sentence_started,     [RECORD_STOPPED] = sentence_stopped,
                [RECORD_ACCEPTED] = sentence_accepted,   [RECORD_CLOSED] = sentence_closed,
                [RECORD_CRASHED] = sentence_crashed,     [RECORD_REFUSED] = sentence_refused,
                [RECORD_FULL] = sentence_full,           [RECORD_REFUSALS] = sentence_refusals,
                [RECORD_SUMMARY] = sentence_summary,     [RECORD_LOST] = sentence_lost,
                [RECORD_EXHAUSTED] = sentence_exhausted, [RECORD_CONNECTION] = sentence_connection,
                [RECORD_TOTALS] = sentence_totals,       [RECORD_LIMITED] = sentence_limited,
                [RECORD_STRANGER] = sentence_text,       [RECORD_UNNAMED] = sentence_unnamed,
                [RECORD_RECOUNTED] = sentence_recounted, [RECORD_RESUMED] = sentence_resumed,
                [RECORD_DATAGRAMS] = sentence_datagrams, [RECORD_SOCKET] = sentence_datagrams,
                [RECORD_RESTARTED] = sentence_restarted, [RECORD_UNSERVED] = sentence_unserved,
                [RECORD_FAILED] = sentence_text,
        };

        sentences[record->kind](line, record);
}
