/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A round trip under way over @fd: @size bytes of @message, of which @sent are sent and @received
 * have come back into @answer, the first one at the instant @first. Begin with @sent and @received
 * 0. */
typedef struct Trip {
        int fd;
        const char *message;
        char *answer;
        size_t size;
        size_t sent;
        size_t received;
        uint64_t first;
} Trip;

/*
 * trip_run: Makes the whole round trip @trip: sends and receives at once, so that any size fits
 * through the buffers on the way. Waits until the instant @end (CLOCK_NEVER for no limit);
 * @interrupt is a descriptor of interrupt_open(), or -1.
 *
 * The caller sets @fd, @message, @answer and @size of @trip, and the rest to 0. In every case
 * @received and @first are then true.
 *
 * Returns 0 when the answer equals the message; -EBADMSG as soon as it differs, or for bytes
 * received before the message was sent; -ETIME for an answer that did not come before @end, -EINTR
 * for one that did not come before the interrupt, -EPIPE when the peer closed the connection, or a
 * negative errno of send(2), recv(2) or poll(2). After an error the connection is unusable.
 */
int trip_run(Trip *trip, uint64_t end, int interrupt);

/*
 * trip_end: Half-closes @fd and reads to the peer's end; any byte before it is surplus. Waits until
 * the instant @end at most; @interrupt is as above.
 *
 * Returns 0 at the peer's end, -EBADMSG for a surplus byte, -ETIME at @end, -EINTR after the
 * interrupt, or a negative errno of shutdown(2), recv(2) or poll(2). The caller closes @fd.
 */
int trip_end(int fd, uint64_t end, int interrupt);

/*
 * The steps of a round trip for callers that wait for several at once. None of them waits; all
 * return 0 on success, also if the connection is not ready, or a negative errno of send(2) or
 * recv(2).
 *
 * trip_look: Receives unsolicited bytes into the answer of @trip; call it first. A complete answer
 * stays as it is: bytes behind it are surplus. Returns -EBADMSG for any byte, and -EPIPE when the
 * peer closed the connection.
 *
 * trip_send: Sends more of the message.
 *
 * trip_receive: Receives more of the answer, which is complete when @received equals @size. Returns
 * -EBADMSG when it differs from the message, and -EPIPE when the peer closed the connection.
 */
int trip_look(Trip *trip);
int trip_send(Trip *trip);
int trip_receive(Trip *trip);
