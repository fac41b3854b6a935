/* SPDX-License-Identifier: MIT */
#include "client/trip.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "client/instant.h"

typedef struct Trip {
        int fd;
        const char *message;
        char *answer;
        size_t size;
        size_t sent;
        size_t received;
} Trip;

static int trip_send(Trip *trip) {
        ssize_t n = send(trip->fd, trip->message + trip->sent, trip->size - trip->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        trip->sent += (size_t)n;
        return 0;
}

static int trip_receive(Trip *trip) {
        ssize_t n = recv(trip->fd, trip->answer + trip->received, trip->size - trip->received,
                         MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EPIPE;
        trip->received += (size_t)n;
        return 0;
}

static int trip_wait(const Trip *trip, uint64_t end, int interrupt) {
        short wanted = (short)(POLLIN | (trip->sent < trip->size ? POLLOUT : 0));
        struct pollfd polled[] = { { .fd = trip->fd, .events = wanted },
                                   { .fd = interrupt, .events = POLLIN } };
        int r = poll(polled, 2, end == INSTANT_NEVER ? -1 : instant_timeout(instant_now(), end));

        if (r < 0)
                return errno == EINTR ? 0 : -errno;
        if (r == 0)
                return -ETIME;
        return polled[1].revents != 0 ? -EINTR : 0;
}

/* Looks for what nobody asked for; returns 0, -EBADMSG if there is any, or why there is no peer. */
static int trip_look(int fd) {
        char byte;
        ssize_t n = recv(fd, &byte, sizeof byte, MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        return n == 0 ? -EPIPE : -EBADMSG;
}

int trip_run(int fd, const void *message, void *answer, size_t size, uint64_t end, int interrupt) {
        Trip trip = { .fd = fd, .message = message, .answer = answer, .size = size };
        int r;

        r = trip_look(fd);
        if (r < 0)
                return r;
        while (trip.received < size) {
                if (trip.sent < size)
                        r = trip_send(&trip);
                if (r == 0)
                        r = trip_wait(&trip, end, interrupt);
                if (r == 0)
                        r = trip_receive(&trip);
                if (r < 0)
                        return r;
        }
        return memcmp(message, answer, size) == 0 ? 0 : -EBADMSG;
}

int trip_end(int fd, uint64_t end, int interrupt) {
        Trip trip = { .fd = fd };
        int r;

        if (shutdown(fd, SHUT_WR) < 0)
                return errno == ENOTCONN ? 0 : -errno;
        while ((r = trip_look(fd)) == 0) {
                r = trip_wait(&trip, end, interrupt);
                if (r < 0)
                        return r;
        }
        return r == -EPIPE ? 0 : r;
}
