/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/endpoint.h"

/*
 * Passes descriptors over Unix sockets: a message carries duplicates of them (SCM_RIGHTS, unix(7)).
 */

enum {
        /* Descriptors of one message at most (SCM_MAX_FD of the kernel). */
        FDPASS_MOST = 253,
};

/*
 * fdpass_send: Sends @size bytes of @data, at least one, with duplicates of the @n descriptors
 * @fds, 0 to FDPASS_MOST, from @socket. Retries when a signal interrupts it.
 *
 * @to: the receiver, or NULL if @socket is connected. @flags: MSG_DONTWAIT or 0.
 *
 * Returns 0, or a negative errno of sendmsg(2).
 */
int fdpass_send(int socket, const Endpoint *to, const void *data, size_t size, const int *fds,
                size_t n, int flags);

/*
 * fdpass_receive: Receives a message with 1 to @most descriptors from @socket, without blocking,
 * and ignores its bytes.
 *
 * @flags: MSG_PEEK to leave the message in the queue, or 0.
 *
 * Returns the number of descriptors and sets as many of @ret_fds, which the caller closes; -EAGAIN
 * without a message; -EBADMSG if the message has no descriptors or the other end is closed; -EMFILE
 * if it has more than @most, or more than this process can open; or another negative errno of
 * recvmsg(2).
 */
int fdpass_receive(int socket, int *ret_fds, size_t most, int flags);

/*
 * fdpass_drain: Receives and closes all that waits in the connected SOCK_SEQPACKET @socket, and
 * refuses more. Call before close(2), which would wait for a connection there that lingers.
 */
void fdpass_drain(int socket);

/*
 * fdpass_close: Closes @fd, unless it is negative: a message may lack an optional descriptor. Does
 * not wait, even if the sender has made the socket linger.
 */
void fdpass_close(int fd);
