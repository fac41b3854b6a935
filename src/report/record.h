/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Record Record;
typedef enum RecordKind RecordKind;

/*
 * What mpecho logs. Each kind has a message ID, a priority, fields of its own and an entry in
 * mpecho.catalog; all of these are listed in mpecho(8).
 */
enum RecordKind {
        RECORD_STARTED,    /* the master listens */
        RECORD_STOPPED,    /* the master is about to exit */
        RECORD_ACCEPTED,   /* a connection got a handler */
        RECORD_CLOSED,     /* a connection ended */
        RECORD_CRASHED,    /* a connection ended because a signal killed its handler */
        RECORD_REFUSED,    /* a connection was reset because of a limit */
        RECORD_REFUSALS,   /* refused connections of one source that are not logged one by one */
        RECORD_SUMMARY,    /* connections not logged one by one */
        RECORD_LOST,       /* records that the journal did not take */
        RECORD_EXHAUSTED,  /* the machine had nothing left for a connection */
        RECORD_CONNECTION, /* a live connection, told on SIGUSR1 */
        RECORD_TOTALS,     /* all counts, told on SIGUSR1 */
        RECORD_LIMITED,    /* the machine cannot carry --max-connections */
        RECORD_STRANGER,   /* a passed descriptor is not served */
        RECORD_UNNAMED,    /* passed descriptors have no names */
        RECORD_RECOUNTED,  /* what the last process of this service counted cannot be read */
        RECORD_RESUMED,    /* connections of the last process of this service go on */
        RECORD_FAILED,     /* mpecho cannot do its work and exits */
        RECORD_COUNT,
};

/*
 * One record. Each kind uses the members that its fields stand for; texts are never NULL then, but
 * for listener_name.
 */
struct Record {
        RecordKind kind;
        const char *peer; /* of RECORD_REFUSALS the source, or NULL for all other ones */
        const char *listener;
        const char *listener_name; /* what systemd calls the socket, or NULL */
        const char *reason;
        const char *limit;    /* the option or resource that a limit comes from */
        const char *sentence; /* for RECORD_STRANGER and RECORD_FAILED: the human text */
        int less_urgent;      /* how much, than records of this kind are */
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
};

enum {
        /* Room for any record in the journal's protocol. */
        RECORD_SIZE = 4096,
};

/*
 * record_priority: the priority of @record, LOG_ERR to LOG_DEBUG (syslog(3)).
 */
int record_priority(const Record *record);

/*
 * record_format_sentence: writes the human text of @record to @text, without a newline, cut to
 * @size bytes with the terminating NUL. Bytes that are not printable become '?'.
 *
 * Returns the length.
 */
size_t record_format_sentence(const Record *record, char *text, size_t size);

/*
 * record_format_journal: writes @record to @data in the journal's native protocol
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), each field a line.
 *
 * Returns the length.
 */
size_t record_format_journal(const Record *record, char data[static RECORD_SIZE]);
