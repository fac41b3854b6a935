/* SPDX-License-Identifier: MIT */
/*
 * Makes one round trip: sends a message and receives its echo, both at once, so that any message
 * fits through the buffers on the way.
 *
 * Each piece is compared when it comes, and a wrong byte ends the trip. trip_end() half-closes the
 * connection and reads to the peer's end.
 *
 * Only bytes that answer the message may count: bytes that came before it was sent and bytes
 * after its last one are errors.
 */
#include "client/run/trip.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/network/kernel.h"
#include "lib/clock.h"

int trip_send(Trip *trip) {
        ssize_t n = send(trip->fd, trip->message + trip->sent, trip->size - trip->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        trip->sent += (size_t)n;
        return 0;
}

int trip_receive(Trip *trip) {
        ssize_t n = recv(trip->fd, trip->answer + trip->received, trip->size - trip->received,
                         MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EPIPE;
        if (trip->received == 0)
                trip->first = clock_now();
        trip->received += (size_t)n;
        return memcmp(trip->message + trip->received - n, trip->answer + trip->received - n,
                      (size_t)n) == 0
                               ? 0
                               : -EBADMSG;
}

static int trip_wait(const Trip *trip, uint64_t end, int interrupt) {
        short wanted = (short)(POLLIN | (trip->sent < trip->size ? POLLOUT : 0));
        struct pollfd polled[] = { { .fd = trip->fd, .events = wanted },
                                   { .fd = interrupt, .events = POLLIN } };
        int r = inquiry_poll(polled, 2, end);

        if (r < 0)
                return r;
        if (r == 0)
                return -ETIME;
        return polled[1].revents != 0 ? -EINTR : 0;
}

int trip_look(Trip *trip) {
        const bool complete = trip->received == trip->size;
        char surplus;
        ssize_t n = recv(trip->fd, complete ? &surplus : trip->answer, complete ? 1 : trip->size,
                         MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (!complete)
                trip->received = (size_t)n;
        return n == 0 ? -EPIPE : -EBADMSG;
}

/* Receives what came before the interrupt: this process may have had no processor. */
static int trip_receive_rest(Trip *trip) {
        size_t before;
        int r;

        do {
                before = trip->received;
                r = trip_receive(trip);
        } while (r == 0 && trip->received > before && trip->received < trip->size);
        if (r == 0 && trip->received == trip->size)
                return 0;
        return r == -EBADMSG ? r : -EINTR;
}

int trip_run(Trip *trip, uint64_t end, int interrupt) {
        int r;

        r = trip_look(trip);
        while (r == 0 && trip->received < trip->size) {
                if (trip->sent < trip->size)
                        r = trip_send(trip);
                if (r == 0)
                        r = trip_wait(trip, end, interrupt);
                if (r == 0)
                        r = trip_receive(trip);
        }
        if (r == -EINTR) {
                r = trip_receive_rest(trip);
                if (r == 0 && kernel_came_late(trip->fd, clock_now(), interrupt_instant()))
                        r = -EINTR;
        }
        /* The last bytes may be a surplus behind an answer that came in time. */
        if (r == 0 && kernel_came_late(trip->fd, clock_now(), end))
                r = trip_look(trip) == -EBADMSG ? -EBADMSG : -ETIME;
        return r;
}

int trip_end(int fd, uint64_t end, int interrupt) {
        char byte;
        Trip trip = { .fd = fd, .answer = &byte, .size = sizeof byte, .sent = sizeof byte };
        const bool gone = shutdown(fd, SHUT_WR) < 0;
        int r;

        if (gone && errno != ENOTCONN)
                return -errno;
        while ((r = trip_look(&trip)) == 0) {
                r = trip_wait(&trip, end, interrupt);
                if (r < 0)
                        return r;
        }
        /* What came before a reset is still there. */
        return r == -EPIPE || (gone && r != -EBADMSG) ? 0 : r;
}
