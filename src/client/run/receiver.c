/* SPDX-License-Identifier: MIT */
/*
 * Receives the echo, hands it to the mode's sink, and supervises the run.
 *
 * The loop receives while there are bytes. Without any it waits for the connection, the end of the
 * sender and the interrupt together. A peer that keeps the loop busy must not hide the others, so
 * the loop checks all of them every fifth of a second.
 *
 * The timeout counts while the peer owes something: bytes that the kernel has taken from the sender
 * and that have not come back, or the end of the connection after all bytes. A peer that has sent
 * as much as that and still blocks the sender has not read it: it owes progress. Bytes beyond as
 * many as the peer owes, right or wrong, never restart the timeout, and a mebibyte of them ends the
 * run.
 *
 * It never closes the connection or reaps the sender: both belong to the caller.
 */
#include "client/run/receiver.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "lib/socket.h"

enum {
        /* Half of what the service sends at once: it stays in a processor's cache until the sink
         * has compared it. */
        RECEIVER_BUFFER_SIZE = 128 * 1024,
        /* A peer that returns this much more than it received does not echo, and may never end. */
        RECEIVER_SURPLUS = 1024 * 1024,
        /* More buffers than the bytes in a socket fill (tcp_rmem, tcp(7)). */
        RECEIVER_LAST = 512,
};

enum {
        POLLED_CONNECTION,
        POLLED_SENDER,
        POLLED_INTERRUPT,
        POLLED_COUNT,
};

#define RECEIVER_TICK (200 * CLOCK_MILLISECOND)

/* The state of the wait for the peer. */
typedef struct ReceiverWait {
        struct pollfd polled[POLLED_COUNT];
        /* The instant before the last look at the connection: what came while this process had no
         * processor came before the timeout. */
        uint64_t now;
        /* Whether the peer owed something at the last check. */
        bool owed;
        /* The instant of the first check since which the peer has owed something. */
        uint64_t since;
        /* The instant of the next check of all but the connection. */
        uint64_t next_look;
} ReceiverWait;

/* Returns whether the peer owes bytes, its end after all bytes, or that the sender goes on. */
static bool receiver_is_owed(const Receiver *receiver, const ReceiverWait *wait) {
        const uint64_t sent = sender_bytes(receiver->sender);

        if (wait->polled[POLLED_SENDER].fd < 0 || sent > receiver->bytes)
                return true;
        /* The sender may wait for a processor: only a full buffer shows that the peer blocks it. */
        return sender_begun(receiver->sender) > sent && !socket_is_writable(receiver->fd);
}

/* Hands @size bytes at @data to the sink; returns a value of the enum, or -EAGAIN to go on. */
static int receiver_take(Receiver *receiver, ReceiverWait *wait, const char *data, size_t size) {
        uint64_t begun = sender_begun(receiver->sender);
        int r;

        r = receiver->sink.take(receiver->sink.userdata, data, size);
        if (r < 0) {
                receiver->error = r;
                return RECEIVER_SINK_FAILED;
        }

        receiver->bytes += size;
        receiver->early |= receiver->bytes > begun;
        receiver->last_received = clock_now();
        /* Surplus bytes must not extend the wait for owed ones. */
        if (receiver->bytes <= begun)
                wait->since = receiver->last_received;
        return receiver->bytes > begun + RECEIVER_SURPLUS ? RECEIVER_ENDLESS : -EAGAIN;
}

/* Waits for bytes, or until @wake; checks everything else. Returns a value of the enum, a negative
 * errno, or -EAGAIN to go on. */
static int receiver_wait(Receiver *receiver, ReceiverWait *wait, uint64_t wake) {
        const bool owed = receiver_is_owed(receiver, wait);
        int r;

        if (!owed || !wait->owed)
                wait->since = wait->now;
        else if (receiver->timeout > 0 && wait->now >= wait->since + receiver->timeout)
                return RECEIVER_TIMEOUT;
        wait->owed = owed;
        r = inquiry_poll(wait->polled, POLLED_COUNT, wake);
        if (r < 0)
                return r;
        if (wait->polled[POLLED_INTERRUPT].revents != 0)
                return RECEIVER_INTERRUPTED;
        if (wait->polled[POLLED_SENDER].revents != 0) {
                /* Only a sender that a signal ended has not done this itself. */
                shutdown(receiver->fd, SHUT_WR);
                wait->polled[POLLED_SENDER].fd = -1;
        }
        return -EAGAIN;
}

/* Checks everything but the connection when it is due. Returns as receiver_wait() does. */
static int receiver_look(Receiver *receiver, ReceiverWait *wait) {
        uint64_t next;

        if (wait->now < wait->next_look)
                return -EAGAIN;
        wait->next_look = wait->now + RECEIVER_TICK;
        if (receiver->tick != NULL) {
                next = receiver->tick(receiver->tick_userdata);
                wait->next_look = clock_earlier(wait->next_look, next);
        }
        return receiver_wait(receiver, wait, wait->now);
}

/* Receives the bytes that have come, if any. Returns a value of the enum, a negative errno, or
 * -EAGAIN to go on, and sets @ret_empty if there are none. */
static int receiver_read(Receiver *receiver, ReceiverWait *wait, bool *ret_empty) {
        static char buffer[RECEIVER_BUFFER_SIZE];
        ssize_t n;

        *ret_empty = false;
        n = recv(receiver->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0)
                return RECEIVER_END;
        if (n > 0)
                return receiver_take(receiver, wait, buffer, (size_t)n);
        *ret_empty = errno == EAGAIN;
        return errno == EINTR ? -EAGAIN : -errno;
}

/* Takes what came before the interrupt: this process may have had no processor. Returns a value of
 * the enum, or a negative errno. */
static int receiver_drain(Receiver *receiver, ReceiverWait *wait) {
        bool empty = false;
        int r = -EAGAIN;

        for (int i = 0; i < RECEIVER_LAST && r == -EAGAIN && !empty; i++)
                r = receiver_read(receiver, wait, &empty);
        return r == -EAGAIN ? RECEIVER_INTERRUPTED : r;
}

/* Receives, or waits. Returns a value of the enum, a negative errno, or -EAGAIN to go on. */
static int receiver_receive(Receiver *receiver, ReceiverWait *wait) {
        bool empty;
        int r;

        wait->now = clock_now();
        r = receiver_read(receiver, wait, &empty);
        if (!empty)
                return r;
        /* The sender's progress announces itself to nobody: look at it each time. */
        return receiver_wait(receiver, wait,
                             receiver->timeout > 0 || receiver->tick != NULL ? wait->next_look
                                                                             : CLOCK_NEVER);
}

int receiver_run(Receiver *receiver) {
        uint64_t now = clock_now();
        ReceiverWait wait = {
                .polled = {
                        [POLLED_CONNECTION] = { .fd = receiver->fd, .events = POLLIN },
                        [POLLED_SENDER] = { .fd = receiver->sender->ended, .events = POLLIN },
                        [POLLED_INTERRUPT] = { .fd = receiver->interrupt, .events = POLLIN },
                },
                .since = now,
                .next_look = now,
        };
        int r;

        do {
                r = receiver_receive(receiver, &wait);
                if (r == -EAGAIN)
                        r = receiver_look(receiver, &wait);
        } while (r == -EAGAIN);
        return r == RECEIVER_INTERRUPTED && receiver->drains ? receiver_drain(receiver, &wait) : r;
}
