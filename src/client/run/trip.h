/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct TripResult TripResult;

/*
 * The progress of a round trip.
 */
struct TripResult {
        /* Bytes of the answer, and the instant of the first one; 0 for none. */
        size_t received;
        uint64_t first;
};

/*
 * trip_run: Sends the @size bytes of @message over @fd and receives as many into @answer, both at
 * once, so that any size fits through the buffers on the way. Waits until the instant @end
 * (CLOCK_NEVER for no limit); @interrupt is a descriptor of interrupt_open(), or -1.
 *
 * Sets @ret_result in every case, unless it is NULL. Returns 0 when the answer equals the message;
 * -EBADMSG as soon as it differs, or for bytes received before the message was sent; -ETIME at
 * @end, -EINTR after the interrupt, -EPIPE when the peer closed the connection, or a negative errno
 * of send(2), recv(2) or poll(2). After an error the connection is unusable.
 */
int trip_run(int fd, const void *message, void *answer, size_t size, uint64_t end, int interrupt,
             TripResult *ret_result);

/*
 * trip_end: Half-closes @fd and reads to the peer's end; any byte before it is surplus. Waits until
 * the instant @end at most; @interrupt is as above.
 *
 * Returns 0 at the peer's end, -EBADMSG for a surplus byte, -ETIME at @end, -EINTR after the
 * interrupt, or a negative errno of shutdown(2), recv(2) or poll(2). The caller closes @fd.
 */
int trip_end(int fd, uint64_t end, int interrupt);
