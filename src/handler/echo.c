/* SPDX-License-Identifier: MIT */
/*
 * RFC 862 on one connection: read, write everything that was read, read again. Reads block.
 * The first write of each echo does not, so that bytes which the kernel takes at once count; the
 * next ones block. SO_RCVTIMEO and SO_SNDTIMEO bound them, so a handler needs no poll(2) and no
 * timer.
 *
 * A read that times out means an idle peer, if the peer has acknowledged every echo. A write that
 * times out proves less: send(2) reports how much the kernel has queued, not when the peer
 * acknowledged it. Writes therefore time out after a 64th of the timeout, and the handler asks the
 * kernel each time whether the peer has acknowledged anything (SIOCOUTQ, tcp(7)). Only a peer that
 * acknowledges nothing for the whole timeout has stalled.
 *
 * A peer may end its stream and read nothing. The kernel would go on alone, and the memory of a
 * connection that nobody counts would have no limit. So echo_drain() waits, in slices that become
 * longer, until the peer has acknowledged all of it. Where a peer sends nothing, each read that
 * times out checks the same.
 *
 * A signal handler ends the reading from outside: it replaces the descriptor for reading, and
 * shortens the slices of a write that waits. echo_run() then writes what it has read, for a limited
 * time.
 *
 * Nothing here may drop a byte that was read: unwritten bytes stay in `unsent` for the caller.
 */
#include "handler/echo.h"

#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ppoll.h"
#include "lib/socket.h"

enum {
        SLICES = 64, /* of the timeout, in each of which a write looks at its peer once */
};

/* How long echo_finish() discards input of a peer that goes on sending. */
#define FINISH_PATIENCE (3 * CLOCK_SECOND)

/* Between two looks of echo_drain() at its peer; doubled from the first to the last. */
#define DRAIN_FIRST CLOCK_MILLISECOND
#define DRAIN_LAST  CLOCK_SECOND

void echo_init(int out, uint64_t timeout) {
        /* A Unix socket inherits nothing from its listener; a restored connection had another. */
        (void)setsockopt(out, SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, sizeof(int));
        /* Set them even to 0: a restored connection keeps the timeouts of its last handler. */
        socket_set_timeout(out, SO_RCVTIMEO, timeout);
        socket_set_timeout(out, SO_SNDTIMEO, timeout / SLICES);
}

void echo_hurry(int out) {
        socket_set_timeout(out, SO_SNDTIMEO, CLOCK_SECOND / SLICES);
}

/* Returns why the connection ended, after a read or write failed with @error. The kernel reports a
 * reset once; to a later holder of the socket it returns ENOTCONN. */
static EndReason echo_reason(int error) {
        return error == ECONNRESET || error == EPIPE || error == ENOTCONN ? END_RESET_BY_PEER
                                                                          : END_FAILED;
}

/* No other process writes the counter. A process just forked pays less for an addition than for a
 * read and a write. */
static void echo_count(const Echo *echo, uint64_t bytes) {
        (void)atomic_fetch_add_explicit(echo->bytes, bytes, memory_order_relaxed);
}

/* The progress of a peer that acknowledges slowly. */
typedef struct Slowness {
        int queued;        /* bytes that the peer has not acknowledged; -1 when unknown */
        uint64_t progress; /* when it last acknowledged bytes; CLOCK_NEVER before a wait */
        uint64_t stopping; /* when the write first saw `stopping`; CLOCK_NEVER before */
} Slowness;

/* Returns whether the peer has acknowledged bytes since the last call. The kernel lets a write go
 * on only when a third of the buffer is free, which a slow peer may take long to free. */
static bool echo_is_acknowledged(const Echo *echo, Slowness *slowness) {
        const int before = slowness->queued;

        if (ioctl(echo->out, SIOCOUTQ, &slowness->queued) < 0)
                slowness->queued = -1;
        return slowness->queued >= 0 && slowness->queued < before;
}

/* Judges the peer after a write that waited for a slice and returned @n. Returns whether to go on;
 * if not, sets @ret_reason. */
static bool echo_wait(const Echo *echo, Slowness *slowness, ssize_t n, EndReason *ret_reason) {
        const uint64_t now = clock_now(), timeout = echo->timeout;

        if (*echo->stopping && slowness->stopping == CLOCK_NEVER)
                slowness->stopping = now;
        if (slowness->stopping != CLOCK_NEVER && now - slowness->stopping >= echo->stop_patience) {
                *ret_reason = END_STOPPED;
                return false;
        }
        /* With progress, the peer read within the slice; without, before it. */
        if (echo_is_acknowledged(echo, slowness) || n > 0)
                slowness->progress = now - timeout / SLICES / 2;
        else if (slowness->progress == CLOCK_NEVER)
                slowness->progress = now - timeout / SLICES;
        if (timeout != 0 && now - slowness->progress >= timeout) {
                *ret_reason = END_STALLED;
                return false;
        }
        return true;
}

/* Writes the unsent bytes. Returns whether it wrote all of them; if not, sets @ret_reason. */
static bool echo_write(Echo *echo, EndReason *ret_reason) {
        Slowness slowness = { .queued = -1, .progress = CLOCK_NEVER, .stopping = CLOCK_NEVER };
        /* The first write does not block: its bytes count while the next one does. */
        int flags = MSG_DONTWAIT;

        while (echo->unsent_size > 0) {
                ssize_t n = send(echo->out, echo->unsent, echo->unsent_size, flags);

                if (n >= 0) {
                        echo_count(echo, (uint64_t)n);
                        echo->unsent += n;
                        echo->unsent_size -= (size_t)n;
                        if (echo->unsent_size == 0)
                                break;
                } else if (errno != EINTR && errno != EAGAIN) {
                        *ret_reason = echo_reason(errno);
                        return false;
                }
                if (flags == 0 && !echo_wait(echo, &slowness, n, ret_reason))
                        return false;
                flags = 0;
        }
        return true;
}

/* Takes the error that the kernel has reported for a connection; 0 without one. */
static int echo_take_error(const Echo *echo) {
        int error = 0;
        socklen_t size = sizeof error;

        (void)getsockopt(echo->out, SOL_SOCKET, SO_ERROR, &error, &size);
        return error;
}

/* Waits until no byte is unacknowledged, the connection breaks, `stopping` is true or the peer has
 * stalled. Signals arrive during the waits alone: none can get between a look at `stopping` and a
 * wait. Returns the error of the connection, or 0. */
static int echo_drain_wait(const Echo *echo, Slowness *slowness) {
        uint64_t slice = DRAIN_FIRST;
        sigset_t all, before;
        int error = 0;

        sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before);
        slowness->progress = clock_now();
        while (slowness->queued > 0 && !*echo->stopping && error == 0) {
                const struct timespec wait = clock_timespec(slice);

                (void)ppoll(NULL, 0, &wait, &before);
                if (echo_is_acknowledged(echo, slowness))
                        slowness->progress = clock_now();
                else if (echo->timeout != 0 && clock_now() - slowness->progress >= echo->timeout)
                        break;
                slice = clock_earlier(2 * slice, DRAIN_LAST);
                error = echo_take_error(echo);
        }
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return error;
}

EndReason echo_drain(const Echo *echo) {
        Slowness slowness = { .queued = -1 };
        int error;

        (void)echo_is_acknowledged(echo, &slowness);
        if (slowness.queued <= 0)
                return END_CLOSED_BY_PEER;
        if (shutdown(echo->out, SHUT_WR) < 0)
                return echo_reason(errno);

        error = echo_drain_wait(echo, &slowness);
        if (error != 0)
                return echo_reason(error);
        if (*echo->stopping)
                return END_STOPPED;
        return slowness.queued > 0 ? END_STALLED : END_CLOSED_BY_PEER;
}

/* Judges a peer that has sent nothing for the timeout: it may still take echoes. Returns whether to
 * wait for it as long again; if not, sets @ret_reason. */
static bool echo_wait_silent(const Echo *echo, Slowness *silence, EndReason *ret_reason) {
        const bool first = silence->queued < 0;
        const bool acknowledged = echo_is_acknowledged(echo, silence);

        if (silence->queued <= 0)
                *ret_reason = END_IDLE;
        else if (!first && !acknowledged)
                *ret_reason = END_STALLED;
        else
                return true;
        return false;
}

EndReason echo_run(Echo *echo) {
        Slowness silence = { .queued = -1 };
        EndReason reason;

        while (echo_write(echo, &reason)) {
                ssize_t n = read(echo->in, echo->buffer, echo->buffer_size);

                if (n > 0) {
                        echo->unsent = echo->buffer;
                        echo->unsent_size = (size_t)n;
                        silence.queued = -1;
                } else if (n == 0) {
                        return *echo->stopping ? END_STOPPED : echo_drain(echo);
                } else if (errno == EAGAIN) {
                        if (!echo_wait_silent(echo, &silence, &reason))
                                return reason;
                } else if (errno != EINTR) {
                        return echo_reason(errno);
                }
        }
        return reason;
}

void echo_finish(const Echo *echo) {
        const uint64_t deadline = clock_now() + FINISH_PATIENCE;
        uint64_t quiet = CLOCK_SECOND;

        if (echo->timeout != 0)
                quiet = clock_earlier(quiet, echo->timeout / SLICES);
        if (shutdown(echo->out, SHUT_WR) < 0)
                return;
        socket_set_timeout(echo->out, SO_RCVTIMEO, quiet);
        while (clock_now() < deadline) {
                ssize_t n = read(echo->out, echo->buffer, echo->buffer_size);

                if (n == 0 || (n < 0 && errno != EINTR))
                        return;
        }
}
