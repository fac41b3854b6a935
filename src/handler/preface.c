/* SPDX-License-Identifier: MIT */
/*
 * Reads a PROXY header. A read takes all that has come, also bytes behind the header: they become
 * unsent bytes, which the echo writes first. So no byte is lost that comes in one piece with the
 * header.
 *
 * The time for the header ends at one instant. Each read gets the rest of it as its timeout. So a
 * peer that sends byte after byte has no more time than a silent one.
 *
 * When the service stops, the bytes that have come stay unsent. They go to the next handler with
 * the connection, and it begins at the same place.
 *
 * Nothing here may echo a byte before the header is complete.
 */
#include "handler/preface.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/socket.h"

#define PATIENCE (5 * CLOCK_SECOND)

/* Reads more of the header before @deadline. Returns 0, a ProxyError, or -ECANCELED. */
static int preface_read_more(Echo *echo, uint64_t deadline) {
        const uint64_t now = clock_now();
        ssize_t n;

        if (now >= deadline)
                return PROXY_TIMEOUT;
        /* A timeout of 0 would be none. */
        socket_set_timeout(echo->out, SO_RCVTIMEO, deadline - now + CLOCK_MICROSECOND);
        n = read(echo->in, echo->buffer + echo->unsent_size, echo->buffer_size - echo->unsent_size);
        if (n > 0)
                echo->unsent_size += (size_t)n;
        else if (n == 0)
                return *echo->stopping ? -ECANCELED : PROXY_CLOSED;
        else if (errno != EAGAIN && errno != EINTR)
                return PROXY_CLOSED;
        return 0;
}

int preface_read(Echo *echo, ProxyHeader *ret_header) {
        const uint64_t deadline = clock_now() + PATIENCE;
        int length, r;

        echo->unsent = echo->buffer;
        while ((length = proxy_parse((const uint8_t *)echo->buffer, echo->unsent_size,
                                     ret_header)) == 0) {
                r = preface_read_more(echo, deadline);
                if (r != 0)
                        return r;
        }
        if (length < 0)
                return -length;
        echo->unsent += length;
        echo->unsent_size -= (size_t)length;
        return 0;
}
