/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/run/sender.h"

/* The receiving half of a connection. It runs in the process that started the Sender, hands the
 * echo to a Sink, and supervises the sender. */

typedef struct Sink {
        /* Takes all of @size bytes at @data; may block. Returns 0, or a negative errno, which ends
         * the receiving. */
        int (*take)(void *userdata, const void *data, size_t size);
        void *userdata;
} Sink;

typedef struct Receiver {
        int fd;
        Sender *sender;
        Sink sink;
        /* The longest wait in nanoseconds for owed bytes or for the peer's end; 0 for no limit. It
         * counts from the first byte that the kernel took from the sender. */
        uint64_t timeout;
        int interrupt; /* a descriptor of interrupt_open(), or -1 */
        /* Whether the sink takes what is in the socket at the interrupt, too: it never blocks. */
        bool drains;
        /* If set, receiver_run() calls it soon, and again at the returned instant or shortly
         * before. */
        uint64_t (*tick)(void *userdata);
        void *tick_userdata;

        /* Bytes passed to the sink, and the instant of the last ones, 0 for none. */
        uint64_t bytes;
        uint64_t last_received;
        bool early; /* some bytes came before the sender had begun to send as many */
        int error;  /* the sink's negative errno after RECEIVER_SINK_FAILED */
} Receiver;

enum {
        RECEIVER_END, /* the peer closed its side in order */
        RECEIVER_SINK_FAILED,
        RECEIVER_TIMEOUT,
        RECEIVER_INTERRUPTED,
        RECEIVER_ENDLESS, /* the peer sent a mebibyte more than it had received */
};

/*
 * receiver_run: Receives until the peer ends, the connection breaks or another event of the enum
 * above occurs. Half-closes the connection in place of a sender that died without doing so.
 *
 * Returns a value of that enum, or a negative errno of recv(2) or poll(2). The caller reaps the
 * sender next.
 */
int receiver_run(Receiver *receiver);
