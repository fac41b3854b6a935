/* SPDX-License-Identifier: MIT */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "report/end_reason.h"

/*
 * Echoes on a connected stream socket (RFC 862) until the peer has sent everything.
 *
 * The caller passes two descriptors of the socket, so that a signal handler can end the reading and
 * leave the writing alone. The signal handler replaces `in` (dup2(2)). The next read returns from
 * the replacement, even when the signal arrives between the last check of `stopping` and that read.
 * The descriptors stay the caller's.
 */
typedef struct Echo {
        int in;                  /* for reading */
        int out;                 /* for writing */
        char *buffer;            /* for reads; echo_run() touches no more of it than they fill */
        size_t buffer_size;      /* in bytes */
        uint64_t timeout;        /* for a peer that sends or acknowledges nothing; 0 for never */
        uint64_t stop_patience;  /* for a peer that reads slowly once `stopping` is true */
        _Atomic uint64_t *bytes; /* counts the bytes written */
        const volatile sig_atomic_t *stopping; /* a signal handler has ended the reading */
        const char *unsent; /* bytes read and not yet written; echo_run() writes them first */
        size_t unsent_size; /* in bytes; not 0 when echo_run() has ended with bytes unwritten */
} Echo;

/*
 * echo_init: Sets the timeouts of @out for reads and writes, and keeps urgent data (RFC 6093) in
 * the stream. Call once for each connection, before echo_run(). @timeout: 0 for never.
 *
 * echo_hurry: Shortens the slices of writes to @out, for a stop patience of a second or more. The
 * next write is the first affected. Async-signal-safe.
 */
void echo_init(int out, uint64_t timeout);
void echo_hurry(int out);

/*
 * echo_run: Echoes until the connection ends. System calls interrupted by a signal are retried.
 *
 * Returns why the connection ended. Bytes that it has read and not written are in `unsent`: none
 * after END_CLOSED_BY_PEER and END_IDLE, some perhaps after any other reason. With these two the
 * peer has acknowledged every byte; after END_STALLED it has not.
 */
EndReason echo_run(Echo *echo);

/*
 * echo_drain: If the peer has not acknowledged everything, sends the end of the stream and waits
 * until it has: after close(2) the kernel would keep the rest for a peer that reads nothing.
 * echo_run() does so when the peer ends its stream.
 *
 * Returns END_CLOSED_BY_PEER when the peer has acknowledged all, END_STOPPED when `stopping` became
 * true, END_STALLED when it acknowledged nothing for the timeout, or why the connection broke.
 */
EndReason echo_drain(const Echo *echo);

/* echo_finish: Closes from this side without losing echoes: sends the end of the stream, then
 * discards input until the peer closes. It gives up after 3 seconds, or when the peer is quiet for
 * a second or a 64th of the timeout, whichever is less. Closing with unread input would reset the
 * connection and destroy echoes on their way (RFC 2525, 2.17). */
void echo_finish(const Echo *echo);
