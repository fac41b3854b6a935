/* SPDX-License-Identifier: MIT */
/*
 * Turns a record into text: a sentence for people, and fields for the journal. Two tables hold all
 * of it: one has the name and the member of each field, the other the message ID, the priority, the
 * fields and the sentence of each kind. The functions that write the sentences stand between them.
 *
 * Peers choose none of the text, but administrators name sockets and paths. In the journal's
 * protocol a newline begins another field, and a terminal obeys escape sequences. Nothing here may
 * let an unprintable byte through.
 */
#include "report/record.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <syslog.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "report/line.h"

/* Bytes of a text in a field at most. Only names of passed sockets can be longer. */
#define TEXT_MOST 1024

typedef struct RecordField {
        const char *name;
        bool text;     /* a string, else a number */
        bool host;     /* a string of which only the host matters, without port or process */
        uint64_t unit; /* of a number: what 1 in the field stands for */
        size_t offset;
} RecordField;

typedef enum RecordFieldIndex {
        FIELD_PEER,
        FIELD_PEER_ADDRESS,
        FIELD_PROXY,
        FIELD_LISTENER,
        FIELD_LISTENER_NAME,
        FIELD_REASON,
        FIELD_LIMIT,
        FIELD_HANDLER_PID,
        FIELD_BYTES,
        FIELD_DURATION,
        FIELD_SIGNAL,
        FIELD_ERROR,
        FIELD_DESCRIPTOR,
        FIELD_LIVE,
        FIELD_PEAK,
        FIELD_SERVED,
        FIELD_ACCEPTED,
        FIELD_CLOSED,
        FIELD_CRASHED,
        FIELD_REFUSED,
        FIELD_LOST,
        FIELD_MAX_CONNECTIONS,
        FIELD_LIMIT_VALUE,
        FIELD_ANSWERED,
        FIELD_DROPPED,
        FIELD_REFUSED_SOURCE,
        FIELD_REFUSED_DESTINATION,
        FIELD_REFUSED_PORT,
        FIELD_REFUSED_SELF,
        FIELD_REFUSED_RATE,
        FIELD_REFUSED_OVERALL,
        FIELD_DATAGRAMS_ANSWERED,
        FIELD_DATAGRAMS_REFUSED,
        FIELD_DATAGRAMS_DROPPED,
        FIELD_COUNT,
} RecordFieldIndex;

#define TEXT(field, member)                                                                        \
        { .name = (field), .text = true, .offset = offsetof(Record, member) }
#define HOST(field, member)                                                                        \
        { .name = (field), .text = true, .host = true, .offset = offsetof(Record, member) }
#define NUMBER(field, member)                                                                      \
        { .name = (field), .unit = 1, .offset = offsetof(Record, member) }
#define USEC(field, member)                                                                        \
        { .name = (field), .unit = CLOCK_MICROSECOND, .offset = offsetof(Record, member) }

static const RecordField fields[FIELD_COUNT] = {
        [FIELD_PEER] = TEXT("MPECHO_PEER", peer),
        [FIELD_PEER_ADDRESS] = HOST("MPECHO_PEER_ADDRESS", peer),
        [FIELD_PROXY] = TEXT("MPECHO_PROXY", proxy),
        [FIELD_LISTENER] = TEXT("MPECHO_LISTENER", listener),
        [FIELD_LISTENER_NAME] = TEXT("MPECHO_LISTENER_NAME", listener_name),
        [FIELD_REASON] = TEXT("MPECHO_REASON", reason),
        [FIELD_LIMIT] = TEXT("MPECHO_LIMIT", limit),
        [FIELD_HANDLER_PID] = NUMBER("MPECHO_HANDLER_PID", handler_pid),
        [FIELD_BYTES] = NUMBER("MPECHO_BYTES", bytes),
        [FIELD_DURATION] = USEC("MPECHO_DURATION_USEC", duration),
        [FIELD_SIGNAL] = NUMBER("MPECHO_SIGNAL", signal),
        [FIELD_ERROR] = NUMBER("ERRNO", error),
        [FIELD_DESCRIPTOR] = NUMBER("MPECHO_DESCRIPTOR", descriptor),
        [FIELD_LIVE] = NUMBER("MPECHO_LIVE", live),
        [FIELD_PEAK] = NUMBER("MPECHO_PEAK", peak),
        [FIELD_SERVED] = NUMBER("MPECHO_SERVED", served),
        [FIELD_ACCEPTED] = NUMBER("MPECHO_ACCEPTED", accepted),
        [FIELD_CLOSED] = NUMBER("MPECHO_CLOSED", closed),
        [FIELD_CRASHED] = NUMBER("MPECHO_CRASHED", crashed),
        [FIELD_REFUSED] = NUMBER("MPECHO_REFUSED", refused),
        [FIELD_LOST] = NUMBER("MPECHO_LOST", lost),
        [FIELD_MAX_CONNECTIONS] = NUMBER("MPECHO_MAX_CONNECTIONS", max_connections),
        [FIELD_LIMIT_VALUE] = NUMBER("MPECHO_LIMIT_VALUE", limit_value),
        [FIELD_ANSWERED] = NUMBER("MPECHO_ANSWERED", answered),
        [FIELD_DROPPED] = NUMBER("MPECHO_DROPPED", dropped),
        [FIELD_REFUSED_SOURCE] = NUMBER("MPECHO_REFUSED_SOURCE", refused_source),
        [FIELD_REFUSED_DESTINATION] = NUMBER("MPECHO_REFUSED_DESTINATION", refused_destination),
        [FIELD_REFUSED_PORT] = NUMBER("MPECHO_REFUSED_PORT", refused_port),
        [FIELD_REFUSED_SELF] = NUMBER("MPECHO_REFUSED_SELF", refused_self),
        [FIELD_REFUSED_RATE] = NUMBER("MPECHO_REFUSED_RATE", refused_rate),
        [FIELD_REFUSED_OVERALL] = NUMBER("MPECHO_REFUSED_OVERALL", refused_overall),
        [FIELD_DATAGRAMS_ANSWERED] = NUMBER("MPECHO_DATAGRAMS_ANSWERED", datagrams_answered),
        [FIELD_DATAGRAMS_REFUSED] = NUMBER("MPECHO_DATAGRAMS_REFUSED", datagrams_refused),
        [FIELD_DATAGRAMS_DROPPED] = NUMBER("MPECHO_DATAGRAMS_DROPPED", datagrams_dropped),
};

static void line_make_printable(Line *line, size_t start) {
        for (size_t i = start; i < line->length; i++)
                if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
                        line->text[i] = '?';
}

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

typedef struct RecordType {
        const char *message_id;
        int priority;
        uint64_t fields; /* a bit for each RecordFieldIndex */
        void (*sentence)(Line *line, const Record *record);
} RecordType;

#define BIT(index)    (UINT64_C(1) << FIELD_##index)
#define BITS_LISTENER (BIT(LISTENER) | BIT(LISTENER_NAME))
#define BITS_PEER     (BIT(PEER) | BIT(PEER_ADDRESS) | BIT(PROXY))
#define BITS_HANDLER  (BITS_PEER | BITS_LISTENER | BIT(HANDLER_PID))
#define BITS_ENDED    (BITS_HANDLER | BIT(BYTES) | BIT(DURATION) | BIT(LIVE))
#define BITS_DATAGRAMS                                                                             \
        (BITS_LISTENER | BIT(HANDLER_PID) | BIT(ANSWERED) | BIT(REFUSED) | BIT(REFUSED_SOURCE) |   \
         BIT(REFUSED_DESTINATION) | BIT(REFUSED_PORT) | BIT(REFUSED_SELF) | BIT(REFUSED_RATE) |    \
         BIT(REFUSED_OVERALL) | BIT(DROPPED) | BIT(BYTES) | BIT(DURATION))
#define BITS_TOTALS                                                                                \
        (BIT(LIVE) | BIT(PEAK) | BIT(SERVED) | BIT(REFUSED) | BIT(BYTES) | BIT(DURATION) |         \
         BIT(DATAGRAMS_ANSWERED) | BIT(DATAGRAMS_REFUSED) | BIT(DATAGRAMS_DROPPED))
#define BITS_COUNTS (BIT(ACCEPTED) | BIT(CLOSED) | BIT(CRASHED) | BIT(REFUSED) | BIT(BYTES))

static const RecordType types[RECORD_COUNT] = {
        [RECORD_STARTED] = { "0ae4675cb2b44e2b8c671e85e048aa76", LOG_INFO,
                             BIT(LISTENER) | BIT(MAX_CONNECTIONS), line_add_started },
        [RECORD_STOPPED] = { "62163846d71d4d6793d5a2f47239413a", LOG_INFO, BITS_TOTALS,
                             line_add_stopped },
        [RECORD_ACCEPTED] = { "3fa46cf9f5d44603abb23f17bf2f4466", LOG_INFO,
                              BITS_HANDLER | BIT(LIVE), line_add_accepted },
        [RECORD_CLOSED] = { "a61dff197d014d12a0909924aa7193f4", LOG_INFO, BITS_ENDED | BIT(REASON),
                            line_add_closed },
        [RECORD_CRASHED] = { "572833a52edc43b688a8b0c67689fd9d", LOG_WARNING,
                             BITS_ENDED | BIT(SIGNAL), line_add_crashed },
        [RECORD_REFUSED] = { "d28b1d507e924d2ab87bd2576e9806ac", LOG_NOTICE,
                             BITS_PEER | BITS_LISTENER | BIT(LIMIT) | BIT(LIMIT_VALUE) |
                                             BIT(REASON) | BIT(LIVE),
                             line_add_refused },
        [RECORD_FULL] = { "0a530e358e8b4d90863c0baf4f4fd702", LOG_NOTICE,
                          BIT(MAX_CONNECTIONS) | BIT(LIVE), line_add_full },
        [RECORD_REFUSALS] = { "aeb644031a6048d29938e83747ff1493", LOG_NOTICE,
                              BIT(PEER_ADDRESS) | BIT(LIMIT) | BIT(REFUSED) | BIT(DURATION),
                              line_add_refusals },
        [RECORD_SUMMARY] = { "4d4324fcc8c44bd49d1f09848fea9589", LOG_INFO,
                             BITS_COUNTS | BIT(DURATION), line_add_summary },
        [RECORD_LOST] = { "e3d672cad4084334b7b6c14f208eea73", LOG_WARNING, BITS_COUNTS | BIT(LOST),
                          line_add_lost },
        [RECORD_EXHAUSTED] = { "b58eeb21f8c342daa1ebd804911cb248", LOG_WARNING,
                               BITS_LISTENER | BIT(LIMIT) | BIT(ERROR) | BIT(REFUSED) | BIT(LIVE),
                               line_add_exhausted },
        [RECORD_CONNECTION] = { "92fa760d360045448998e64e4c67ca38", LOG_INFO,
                                BITS_HANDLER | BIT(BYTES) | BIT(DURATION), line_add_connection },
        [RECORD_TOTALS] = { "61ff95f1aa204e1b9c3f28b6684711c1", LOG_INFO, BITS_TOTALS,
                            line_add_totals },
        [RECORD_LIMITED] = { "6452a60b4a484f869581d177bda0a448", LOG_WARNING,
                             BIT(LIMIT) | BIT(LIMIT_VALUE) | BIT(MAX_CONNECTIONS),
                             line_add_limited },
        [RECORD_STRANGER] = { "e903eaf1a8ce47c5b757d6b83909745c", LOG_WARNING,
                              BIT(DESCRIPTOR) | BIT(LISTENER_NAME), line_add_text },
        [RECORD_UNNAMED] = { "55773c8eb4e043eeaf109bbf3421b4d8", LOG_WARNING, 0, line_add_unnamed },
        [RECORD_RECOUNTED] = { "31cbd06bfb7149b58e6ec48b56d06a2f", LOG_NOTICE, 0,
                               line_add_recounted },
        [RECORD_RESUMED] = { "41fd567a5a0542cba08ca386718739d8", LOG_INFO, BIT(LIVE),
                             line_add_resumed },
        [RECORD_DATAGRAMS] = { "2092b1ad4ceb49a293a2e4eac8298765", LOG_INFO, BITS_DATAGRAMS,
                               line_add_datagrams },
        [RECORD_SOCKET] = { "7fa223f8d9bb4c03bb48ce9a8050d67e", LOG_INFO, BITS_DATAGRAMS,
                            line_add_datagrams },
        [RECORD_RESTARTED] = { "c76d66b5eb764056a56a346967efc50c", LOG_WARNING,
                               BITS_LISTENER | BIT(HANDLER_PID) | BIT(SIGNAL) | BIT(DURATION),
                               line_add_restarted },
        [RECORD_UNSERVED] = { "b3ddf1078ad242df99f3dac3eb416890", LOG_WARNING,
                              BITS_LISTENER | BIT(LIMIT) | BIT(ERROR), line_add_unserved },
        [RECORD_FAILED] = { "3f3cea449864417c913c66c8a5b4dc35", LOG_ERR, 0, line_add_text },
};

int record_priority(const Record *record) {
        return types[record->kind].priority + record->less_urgent;
}

size_t record_format_sentence(const Record *record, char *text, size_t size) {
        Line line = { .text = text, .size = size };

        types[record->kind].sentence(&line, record);
        line_make_printable(&line, 0);
        return line.length;
}

static void line_add_field(Line *line, const RecordField *field, const Record *record) {
        const char *member = (const char *)record + field->offset;
        char host[ADDRESS_TEXT_SIZE];
        size_t start;

        if (!field->text) {
                line_add(line, "%s=%" PRIu64 "\n", field->name,
                         *(const uint64_t *)(const void *)member / field->unit);
                return;
        }
        member = *(const char *const *)(const void *)member;
        if (member == NULL)
                return;
        if (field->host) {
                address_cut_host(member, host);
                member = host;
        }
        start = line->length;
        line_add(line, "%s=%.*s", field->name, TEXT_MOST, member);
        line_make_printable(line, start);
        line_add(line, "\n");
}

size_t record_format_journal(const Record *record, char data[static RECORD_SIZE]) {
        const RecordType *type = &types[record->kind];
        Line line = { .text = data, .size = RECORD_SIZE };
        size_t start;

        line_add(&line, "SYSLOG_IDENTIFIER=mpecho\nMESSAGE_ID=%s\nPRIORITY=%d\n", type->message_id,
                 record_priority(record));
        for (int i = 0; i < FIELD_COUNT; i++)
                if (type->fields & (UINT64_C(1) << i))
                        line_add_field(&line, &fields[i], record);
        start = line.length;
        line_add(&line, "MESSAGE=");
        type->sentence(&line, record);
        line_make_printable(&line, start);
        line_add(&line, "\n");
        return line.length;
}
