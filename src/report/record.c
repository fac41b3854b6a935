/* SPDX-License-Identifier: MIT */
/*
 * Turns a record into text: fields for the journal, with a sentence for people (sentence.c). Two
 * tables hold the fields: one has the name and the member of each, the other the message ID, the
 * priority and the fields of each kind.
 *
 * Peers choose none of the text, but administrators name sockets and paths. In the journal's
 * protocol a newline begins another field, and a terminal obeys escape sequences. Nothing here may
 * let an unprintable byte through.
 */
#include "report/record.h"

#include <inttypes.h>
#include <stdbool.h>
#include <syslog.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "report/line.h"
#include "report/sentence.h"

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
        [FIELD_REFUSED_SOURCE] = NUMBER("MPECHO_REFUSED_SOURCE", refused_by[METRICS_SOURCE]),
        [FIELD_REFUSED_DESTINATION] =
                        NUMBER("MPECHO_REFUSED_DESTINATION", refused_by[METRICS_DESTINATION]),
        [FIELD_REFUSED_PORT] = NUMBER("MPECHO_REFUSED_PORT", refused_by[METRICS_PORT]),
        [FIELD_REFUSED_SELF] = NUMBER("MPECHO_REFUSED_SELF", refused_by[METRICS_SELF]),
        [FIELD_REFUSED_RATE] = NUMBER("MPECHO_REFUSED_RATE", refused_by[METRICS_RATE]),
        [FIELD_REFUSED_OVERALL] = NUMBER("MPECHO_REFUSED_OVERALL", refused_by[METRICS_OVERALL]),
        [FIELD_DATAGRAMS_ANSWERED] = NUMBER("MPECHO_DATAGRAMS_ANSWERED", datagrams_answered),
        [FIELD_DATAGRAMS_REFUSED] = NUMBER("MPECHO_DATAGRAMS_REFUSED", datagrams_refused),
        [FIELD_DATAGRAMS_DROPPED] = NUMBER("MPECHO_DATAGRAMS_DROPPED", datagrams_dropped),
};

static void record_make_printable(Line *line, size_t start) {
        for (size_t i = start; i < line->length; i++)
                if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
                        line->text[i] = '?';
}

typedef struct RecordType {
        const char *message_id;
        int priority;
        uint64_t fields; /* a bit for each RecordFieldIndex */
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
                             BIT(LISTENER) | BIT(MAX_CONNECTIONS) },
        [RECORD_STOPPED] = { "62163846d71d4d6793d5a2f47239413a", LOG_INFO, BITS_TOTALS },
        [RECORD_ACCEPTED] = { "3fa46cf9f5d44603abb23f17bf2f4466", LOG_INFO,
                              BITS_HANDLER | BIT(LIVE) },
        [RECORD_CLOSED] = { "a61dff197d014d12a0909924aa7193f4", LOG_INFO,
                            BITS_ENDED | BIT(REASON) },
        [RECORD_CRASHED] = { "572833a52edc43b688a8b0c67689fd9d", LOG_WARNING,
                             BITS_ENDED | BIT(SIGNAL) },
        [RECORD_REFUSED] = { "d28b1d507e924d2ab87bd2576e9806ac", LOG_NOTICE,
                             BITS_PEER | BITS_LISTENER | BIT(LIMIT) | BIT(LIMIT_VALUE) |
                                             BIT(REASON) | BIT(LIVE) },
        [RECORD_FULL] = { "0a530e358e8b4d90863c0baf4f4fd702", LOG_NOTICE,
                          BIT(MAX_CONNECTIONS) | BIT(LIVE) },
        [RECORD_REFUSALS] = { "aeb644031a6048d29938e83747ff1493", LOG_NOTICE,
                              BIT(PEER_ADDRESS) | BIT(LIMIT) | BIT(REFUSED) | BIT(DURATION) },
        [RECORD_SUMMARY] = { "4d4324fcc8c44bd49d1f09848fea9589", LOG_INFO,
                             BITS_COUNTS | BIT(DURATION) },
        [RECORD_LOST] = { "e3d672cad4084334b7b6c14f208eea73", LOG_WARNING,
                          BITS_COUNTS | BIT(LOST) },
        [RECORD_EXHAUSTED] = { "b58eeb21f8c342daa1ebd804911cb248", LOG_WARNING,
                               BITS_LISTENER | BIT(LIMIT) | BIT(ERROR) | BIT(REFUSED) | BIT(LIVE) },
        [RECORD_CONNECTION] = { "92fa760d360045448998e64e4c67ca38", LOG_INFO,
                                BITS_HANDLER | BIT(BYTES) | BIT(DURATION) },
        [RECORD_TOTALS] = { "61ff95f1aa204e1b9c3f28b6684711c1", LOG_INFO, BITS_TOTALS },
        [RECORD_LIMITED] = { "6452a60b4a484f869581d177bda0a448", LOG_WARNING,
                             BIT(LIMIT) | BIT(LIMIT_VALUE) | BIT(MAX_CONNECTIONS) },
        [RECORD_STRANGER] = { "e903eaf1a8ce47c5b757d6b83909745c", LOG_WARNING,
                              BIT(DESCRIPTOR) | BIT(LISTENER_NAME) },
        [RECORD_UNNAMED] = { "55773c8eb4e043eeaf109bbf3421b4d8", LOG_WARNING, 0 },
        [RECORD_RECOUNTED] = { "31cbd06bfb7149b58e6ec48b56d06a2f", LOG_NOTICE, 0 },
        [RECORD_RESUMED] = { "41fd567a5a0542cba08ca386718739d8", LOG_INFO, BIT(LIVE) },
        [RECORD_DATAGRAMS] = { "2092b1ad4ceb49a293a2e4eac8298765", LOG_INFO, BITS_DATAGRAMS },
        [RECORD_SOCKET] = { "7fa223f8d9bb4c03bb48ce9a8050d67e", LOG_INFO, BITS_DATAGRAMS },
        [RECORD_RESTARTED] = { "c76d66b5eb764056a56a346967efc50c", LOG_WARNING,
                               BITS_LISTENER | BIT(HANDLER_PID) | BIT(SIGNAL) | BIT(DURATION) },
        [RECORD_UNSERVED] = { "b3ddf1078ad242df99f3dac3eb416890", LOG_WARNING,
                              BITS_LISTENER | BIT(LIMIT) | BIT(ERROR) },
        [RECORD_FAILED] = { "3f3cea449864417c913c66c8a5b4dc35", LOG_ERR, 0 },
};

int record_priority(const Record *record) {
        return types[record->kind].priority + record->less_urgent;
}

size_t record_format_sentence(const Record *record, char *text, size_t size) {
        Line line = { .text = text, .size = size };

        sentence_add(&line, record);
        record_make_printable(&line, 0);
        return line.length;
}

static void record_add_field(Line *line, const RecordField *field, const Record *record) {
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
        record_make_printable(line, start);
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
                        record_add_field(&line, &fields[i], record);
        start = line.length;
        line_add(&line, "MESSAGE=");
        sentence_add(&line, record);
        record_make_printable(&line, start);
        line_add(&line, "\n");
        return line.length;
}
