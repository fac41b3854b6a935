/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct TripResult TripResult;

/*
 * How far a round trip came.
 */
struct TripResult {
        /* Bytes that came back, and the instant of the first; 0 if none did. */
        size_t received;
        uint64_t first;
};

/*
 * trip_run: sends the @size bytes of @message over @fd and receives as many, into @answer, at the
 * same time, so that no size is too large for the buffers between here and there. The whole must be
 * done at the instant @end (CLOCK_NEVER for no limit); @interrupt is a descriptor of
 * interrupt_open(), or -1.
 *
 * Sets @ret_result, unless it is NULL, whatever happens. Returns 0 when the answer is the message;
 * -EBADMSG as soon as it is not, or when bytes came before the message was sent; -ETIME when the
 * time is over, -EINTR when the interrupt came, -EPIPE when the peer closed the connection, or a
 * negative errno of send(2), recv(2) or poll(2). After any of these the connection is of no more
 * use.
 */
int trip_run(int fd, const void *message, void *answer, size_t size, uint64_t end, int interrupt,
             TripResult *ret_result);

/*
 * trip_end: half-closes @fd and reads to the peer's end: what comes then is more than was sent.
 * Takes until the instant @end at most; @interrupt is as above.
 *
 * Returns 0 at the peer's end, -EBADMSG when bytes came before it, -ETIME when the time is over,
 * -EINTR when the interrupt came, or a negative errno of shutdown(2), recv(2) or poll(2). The
 * caller closes @fd.
 */
int trip_end(int fd, uint64_t end, int interrupt);
