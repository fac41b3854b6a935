/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "report/metrics.h"

/* The kinds of records. Each has a message ID, a priority, its own fields and an entry in
 * mpecho.catalog. mpecho(8) lists all of these. */
typedef enum RecordKind {
        RECORD_STARTED,    /* the master listens */
        RECORD_STOPPED,    /* the master is about to exit */
        RECORD_ACCEPTED,   /* a connection got a handler, and its PROXY header if it needs one */
        RECORD_CLOSED,     /* a connection ended */
        RECORD_CRASHED,    /* a signal killed its handler, or the store lacked the connection */
        RECORD_REFUSED,    /* a connection was reset, because of a limit or its PROXY header */
        RECORD_FULL,       /* as many connections are live as may be */
        RECORD_REFUSALS,   /* suppressed RECORD_REFUSED of one source */
        RECORD_SUMMARY,    /* suppressed records of connections */
        RECORD_LOST,       /* records that the journal did not accept */
        RECORD_EXHAUSTED,  /* the master cannot accept connections for now */
        RECORD_CONNECTION, /* a live connection, on SIGUSR1 */
        RECORD_TOTALS,     /* all counts, on SIGUSR1 */
        RECORD_LIMITED,    /* a limit of the machine is below --max-connections */
        RECORD_STRANGER,   /* the master does not serve a passed descriptor */
        RECORD_UNNAMED,    /* passed descriptors have no names */
        RECORD_RECOUNTED,  /* the counts of the last run are not there, or cannot be read */
        RECORD_RESUMED,    /* connections of the last run go on */
        RECORD_FAILED,     /* mpecho exits because of an error */
        RECORD_DATAGRAMS,  /* what a datagram socket answered and refused in the last minute */
        RECORD_SOCKET,     /* the same since the start, on SIGUSR1 */
        RECORD_RESTARTED,  /* the handler of a datagram socket ended, and the next one starts */
        RECORD_UNSERVED,   /* the master cannot start the handler of a datagram socket for now */
        RECORD_COUNT,
} RecordKind;

/* Values of `limit` with a text of their own. All but the first name no option; RECORD_REFUSALS
 * alone has the last one. */
#define RECORD_LIMIT_FROM    "proxy-from"
#define RECORD_LIMIT_MEMORY  "memory"
#define RECORD_LIMIT_HEADER  "proxy-header"
#define RECORD_LIMIT_SEVERAL "several"

/* One record. Each kind reads the members of its own fields; of these, only listener_name and proxy
 * can be NULL, peer of RECORD_REFUSALS and reason of RECORD_REFUSED. */
typedef struct Record {
        RecordKind kind;
        int less_urgent;   /* priorities below that of the kind */
        const char *peer;  /* of RECORD_REFUSALS the source, or NULL for all others */
        const char *proxy; /* that announced the peer */
        const char *listener;
        const char *listener_name; /* FileDescriptorName= of the socket */
        const char *reason;        /* end_reason_text(), or of a refused PROXY header */
        const char *limit;         /* the option or resource */
        const char *sentence;      /* of RECORD_STRANGER and RECORD_FAILED */
        uint64_t handler_pid;
        uint64_t bytes;
        uint64_t duration;
        uint64_t signal;
        uint64_t error; /* errno */
        uint64_t descriptor;
        uint64_t live;
        uint64_t peak;
        uint64_t served;
        uint64_t accepted;
        uint64_t closed;
        uint64_t crashed;
        uint64_t refused;
        uint64_t lost;
        uint64_t max_connections;
        uint64_t limit_value;
        /* Of one datagram socket; `refused` is the sum of those below. */
        uint64_t answered;
        uint64_t dropped;
        uint64_t refused_by[METRICS_DROPPED]; /* METRICS_SOURCE to METRICS_OVERALL */
        /* Of all datagram sockets. */
        uint64_t datagram_sockets;
        uint64_t datagrams_answered;
        uint64_t datagrams_refused;
        uint64_t datagrams_dropped;
} Record;

enum {
        /* Room for any record in the journal's protocol. */
        RECORD_SIZE = 4096,
};

/*
 * record_priority: Returns the priority of @record, LOG_ERR to LOG_DEBUG (syslog(3)).
 *
 * record_format_sentence: Writes the sentence of @record to @text, without a newline, cut to @size
 * bytes with the terminating NUL. Unprintable bytes become '?'. Returns the length.
 *
 * record_format_journal: Writes @record to @data in the journal's native protocol
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), one line for each field. Returns the length.
 */
int record_priority(const Record *record);
size_t record_format_sentence(const Record *record, char *text, size_t size);
size_t record_format_journal(const Record *record, char data[static RECORD_SIZE]);
