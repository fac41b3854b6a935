/* SPDX-License-Identifier: MIT */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/end_reason.h"

typedef struct Echo Echo;

/*
 * RFC 862 on a connected stream socket: what comes in goes out, until the peer has sent everything.
 *
 * The socket is known by two descriptors, so that a signal handler can end the reading without
 * touching the writing: whatever it puts in place of `in` (dup2(2)) is read next, even when the
 * signal comes between the last look at `stopping` and the read. The descriptors stay the caller's.
 */
struct Echo {
        int in;                /* read from */
        int out;               /* written to */
        char *buffer;          /* memory of this process for what is read */
        size_t buffer_size;    /* in bytes; a peer that sends much at once has it touched whole */
        uint64_t timeout_usec; /* for a peer that sends or acknowledges nothing; 0 for never */
        uint64_t stop_patience_usec; /* for a peer that reads slowly once reading was ended */
        _Atomic uint64_t *bytes;     /* counts what was written */
        const volatile sig_atomic_t *stopping; /* true once reading was ended by a signal handler */
        const char *pending; /* what was read and is to be written, first of all by echo_run() */
        size_t pending_size; /* of that, in bytes; not 0 after echo_run() has stopped before its end
                              */
};

/*
 * echo_init: makes @out block for as long as @timeout_usec says, for reading and for writing, and
 * keeps urgent data (RFC 6093) in the stream. For each connection once, before echo_run().
 */
void echo_init(int out, uint64_t timeout_usec);

/*
 * echo_hurry: has writes look at the time often enough for a patience of a second or more. Safe in
 * a signal handler; holds from the next write on.
 */
void echo_hurry(int out);

/*
 * echo_run: echoes until the connection ends. Signals interrupt nothing.
 *
 * Returns why it ended. Everything that was read has been written, unless it was reset, stalled or
 * failed.
 */
Reason echo_run(Echo *echo);

/*
 * echo_finish: lets the peer have what was written when it is not the peer that ended the
 * connection. Sends the end of the stream and discards what still comes, until the peer ends it
 * too, sends nothing for a second or a 64th of the timeout, whichever is less, or has gone on for 3
 * seconds. Closing with unread input would reset the connection and destroy echoes on their way
 * (RFC 2525, 2.17).
 */
void echo_finish(const Echo *echo);
