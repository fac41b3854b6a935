/* SPDX-License-Identifier: MIT */
#include "client/receiver.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "lib/clock.h"

enum {
        RECEIVER_BUFFER_SIZE = 256 * 1024,
        /* A peer that sends this much more than it was sent does not echo, and may never end. */
        RECEIVER_SURPLUS = 1024 * 1024,
};

enum {
        POLLED_CONNECTION,
        POLLED_SENDER,
        POLLED_INTERRUPT,
        POLLED_COUNT,
};

#define RECEIVER_TICK (200 * CLOCK_MILLISECOND)

/* What the wait for the peer is about. */
typedef struct ReceiverWait {
        struct pollfd polled[POLLED_COUNT];
        /* The peer has owed us something since then. */
        uint64_t since;
        uint64_t next_tick;
} ReceiverWait;

/* A peer owes us something while less has come back than was sent, or when only its end is due. */
static bool receiver_is_owed(const Receiver *receiver, const ReceiverWait *wait) {
        return wait->polled[POLLED_SENDER].fd < 0 ||
               sender_begun(receiver->sender) > receiver->bytes;
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
        receiver->last_received = clock_now();
        /* Bytes that nobody owes do not put off the end of the wait for those that are owed. */
        if (receiver->bytes <= begun)
                wait->since = receiver->last_received;
        return receiver->bytes > begun + RECEIVER_SURPLUS ? RECEIVER_ENDLESS : -EAGAIN;
}

/* Waits until there is something to receive, or a reason to look at something else. */
static int receiver_wait(Receiver *receiver, ReceiverWait *wait) {
        uint64_t now = clock_now(), wake = wait->next_tick;

        if (receiver->timeout > 0) {
                if (!receiver_is_owed(receiver, wait))
                        wait->since = now;
                else if (now - wait->since >= receiver->timeout)
                        return RECEIVER_TIMEOUT;
                /* What is sent meanwhile shows only to those who look. */
                wake = now + RECEIVER_TICK;
        }
        if (poll(wait->polled, POLLED_COUNT, clock_timeout(now, wake)) < 0)
                return errno == EINTR ? 0 : -errno;
        if (wait->polled[POLLED_INTERRUPT].revents != 0)
                return RECEIVER_INTERRUPTED;
        if (wait->polled[POLLED_SENDER].revents != 0) {
                /* The sender has done this itself, unless a signal ended it. */
                shutdown(receiver->fd, SHUT_WR);
                wait->polled[POLLED_SENDER].fd = -1;
        }
        return 0;
}

static void receiver_tick(Receiver *receiver, ReceiverWait *wait) {
        uint64_t now;

        if (receiver->tick == NULL)
                return;
        now = clock_now();
        if (now < wait->next_tick)
                return;
        receiver->tick(receiver, receiver->tick_userdata);
        wait->next_tick = now + RECEIVER_TICK;
}

int receiver_run(Receiver *receiver) {
        static char buffer[RECEIVER_BUFFER_SIZE];
        uint64_t now = clock_now();
        ReceiverWait wait = {
                .polled = {
                        [POLLED_CONNECTION] = { .fd = receiver->fd, .events = POLLIN },
                        [POLLED_SENDER] = { .fd = receiver->sender->ended, .events = POLLIN },
                        [POLLED_INTERRUPT] = { .fd = receiver->interrupt, .events = POLLIN },
                },
                .since = now,
                .next_tick = receiver->tick == NULL ? CLOCK_NEVER : now + RECEIVER_TICK,
        };

        for (;;) {
                ssize_t n = recv(receiver->fd, buffer, sizeof buffer, MSG_DONTWAIT);
                int r = n < 0 ? -errno : 0;

                receiver_tick(receiver, &wait);
                if (n == 0)
                        return RECEIVER_END;
                if (n < 0) {
                        if (r == -EAGAIN || r == -EINTR)
                                r = receiver_wait(receiver, &wait);
                        if (r != 0)
                                return r;
                        continue;
                }
                r = receiver_take(receiver, &wait, buffer, (size_t)n);
                if (r != -EAGAIN)
                        return r;
        }
}
