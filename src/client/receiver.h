/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/sender.h"

/*
 * The receiving half of a connection: runs in the process that started the Sender, hands what
 * comes back to a Sink, and keeps an eye on the sender meanwhile.
 */

typedef struct Sink Sink;
typedef struct Receiver Receiver;

struct Sink {
        /*
         * Takes all of @size bytes at @data; may block. Returns 0, or a negative errno, which ends
         * the receiving.
         */
        int (*take)(void *userdata, const void *data, size_t size);
        void *userdata;
};

struct Receiver {
        int fd;
        Sender *sender;
        Sink sink;
        /* Nanoseconds that the peer may keep what was sent, or its end, for itself; 0 for ever.
         * They count from the first byte that the kernel took from the sender. */
        uint64_t timeout;
        /* A descriptor of interrupt_open(), or -1. */
        int interrupt;
        /* If set: called soon, and again at the instant that it returns or a little before. */
        uint64_t (*tick)(Receiver *receiver, void *userdata);
        void *tick_userdata;

        /* Bytes that the sink has taken, and the instant when it did so last, 0 if never. */
        uint64_t bytes;
        uint64_t last_received;
        /* Negative errno of the sink, when receiver_run() says RECEIVER_SINK_FAILED. */
        int error;
};

enum {
        /* The peer has sent everything and said so. */
        RECEIVER_END,
        /* The sink failed. */
        RECEIVER_SINK_FAILED,
        /* The timeout is over. */
        RECEIVER_TIMEOUT,
        /* The interrupt came. */
        RECEIVER_INTERRUPTED,
        /* The peer has sent a mebibyte more than it was sent by then. */
        RECEIVER_ENDLESS,
};

/*
 * receiver_run: receives until the peer ends, the connection breaks or one of the other things of
 * the enum above happens. A sender that dies without half-closing the connection is stood in for,
 * so that the peer still ends.
 *
 * Returns a value of that enum, or a negative errno of recv(2) or poll(2). The sender is not
 * reaped: that is the caller's next step.
 */
int receiver_run(Receiver *receiver);
