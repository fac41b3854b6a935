/* SPDX-License-Identifier: MIT */
#include "handler/echo.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"

enum {
        /* A write that waits tells how much it wrote, not when. It waits in slices of the timeout,
         * which tell the time of the last progress well enough. */
        SLICES = 64,
};

/* How long a peer may go on sending after the connection was ended here. */
#define FINISH_PATIENCE (3 * CLOCK_SECOND)

static void echo_set_timeout(int fd, int option, uint64_t usec) {
        const struct timeval timeout = { .tv_sec = (time_t)(usec / CLOCK_SECOND),
                                         .tv_usec = (suseconds_t)(usec % CLOCK_SECOND) };

        /* Cannot fail on a stream socket; if it did, the peer would just not be timed out. */
        (void)setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout);
}

void echo_init(int out, uint64_t timeout_usec) {
        /* Unix sockets inherit nothing, and a connection may be older than the service. */
        (void)setsockopt(out, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
        /* Also when there is none: a connection that was handed over still has those of its last
         * handler. */
        echo_set_timeout(out, SO_RCVTIMEO, timeout_usec);
        echo_set_timeout(out, SO_SNDTIMEO, timeout_usec / SLICES);
}

void echo_hurry(int out) {
        echo_set_timeout(out, SO_SNDTIMEO, CLOCK_SECOND / SLICES);
}

/* Why a connection has ended on which a read or a write failed. ENOTCONN is a reset that somebody
 * else, who had the socket before, was told of. */
static Reason echo_reason(int error) {
        return error == ECONNRESET || error == EPIPE || error == ENOTCONN ? REASON_RESET_BY_PEER
                                                                          : REASON_FAILED;
}

/* Nobody else writes the counter, but that the page is written at once, not read first, saves the
 * kernel from mapping its neighbours as well. */
static void echo_count(const Echo *echo, uint64_t bytes) {
        (void)atomic_fetch_add_explicit(echo->bytes, bytes, memory_order_relaxed);
}

/* What a write that waits knows of its peer. */
typedef struct Slowness {
        int queued;        /* bytes that the peer has not acknowledged; -1 before, or unknown */
        uint64_t progress; /* when the peer last read; CLOCK_NEVER before a write has waited */
        uint64_t stopping; /* when it was first seen that reading was ended; CLOCK_NEVER before */
} Slowness;

/* Returns whether the peer has acknowledged something since the last look. A write goes on only
 * when a third of the buffer is free again: of a peer that reads slowly it may see nothing for
 * long. */
static bool echo_is_acknowledged(const Echo *echo, Slowness *slowness) {
        const int before = slowness->queued;

        if (ioctl(echo->out, SIOCOUTQ, &slowness->queued) < 0)
                slowness->queued = -1;
        return slowness->queued >= 0 && slowness->queued < before;
}

/* A write has waited for a slice and written @n bytes, or nothing. Returns whether to go on; if
 * not, why in
 * @ret_reason. */
static bool echo_wait(const Echo *echo, Slowness *slowness, ssize_t n, Reason *ret_reason) {
        const uint64_t now = clock_now(), timeout = echo->timeout_usec;

        if (*echo->stopping && slowness->stopping == CLOCK_NEVER)
                slowness->stopping = now;
        if (slowness->stopping != CLOCK_NEVER &&
            now - slowness->stopping >= echo->stop_patience_usec) {
                *ret_reason = REASON_STOPPED;
                return false;
        }
        /* At some time in the slice; before the first one, if nothing was written. */
        if (echo_is_acknowledged(echo, slowness) || n > 0)
                slowness->progress = now - timeout / SLICES / 2;
        else if (slowness->progress == CLOCK_NEVER)
                slowness->progress = now - timeout / SLICES;
        if (timeout != 0 && now - slowness->progress >= timeout) {
                *ret_reason = REASON_STALLED;
                return false;
        }
        return true;
}

/* Writes what is pending. Returns whether all was written; if not, why not in @ret_reason. */
static bool echo_write(Echo *echo, Reason *ret_reason) {
        Slowness slowness = { .queued = -1, .progress = CLOCK_NEVER, .stopping = CLOCK_NEVER };

        while (echo->pending_size > 0) {
                ssize_t n = write(echo->out, echo->pending, echo->pending_size);

                if (n >= 0) {
                        echo_count(echo, (uint64_t)n);
                        echo->pending += n;
                        echo->pending_size -= (size_t)n;
                        if (echo->pending_size == 0)
                                break;
                } else if (errno != EINTR && errno != EAGAIN) {
                        *ret_reason = echo_reason(errno);
                        return false;
                }
                if (!echo_wait(echo, &slowness, n, ret_reason))
                        return false;
        }
        return true;
}

Reason echo_run(Echo *echo) {
        Reason reason;

        while (echo_write(echo, &reason)) {
                ssize_t n = read(echo->in, echo->buffer, echo->buffer_size);

                if (n > 0) {
                        echo->pending = echo->buffer;
                        echo->pending_size = (size_t)n;
                } else if (n == 0) {
                        return *echo->stopping ? REASON_STOPPED : REASON_CLOSED_BY_PEER;
                } else if (errno == EAGAIN) {
                        return REASON_IDLE;
                } else if (errno != EINTR) {
                        return echo_reason(errno);
                }
        }
        return reason;
}

void echo_finish(const Echo *echo) {
        const uint64_t deadline = clock_now() + FINISH_PATIENCE;
        uint64_t quiet = CLOCK_SECOND;

        if (echo->timeout_usec != 0)
                quiet = clock_earlier(quiet, echo->timeout_usec / SLICES);
        if (shutdown(echo->out, SHUT_WR) < 0)
                return;
        echo_set_timeout(echo->out, SO_RCVTIMEO, quiet);
        while (clock_now() < deadline) {
                ssize_t n = read(echo->out, echo->buffer, echo->buffer_size);

                if (n == 0 || (n < 0 && errno != EINTR))
                        return;
        }
}
