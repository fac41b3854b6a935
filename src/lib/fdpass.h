/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/endpoint.h"

/*
 * Descriptors that are passed over a Unix socket: a message with copies of them (SCM_RIGHTS in
 * unix(7)).
 */

enum {
        /* The most descriptors in one message. */
        FDPASS_MOST = 253,
};

/*
 * fdpass_send: sends the @size bytes of @data, at least one, with copies of the @n descriptors
 * @fds, 0 to FDPASS_MOST, from @socket.
 *
 * @to: where to, or NULL when @socket is connected. @flags: MSG_DONTWAIT or 0. A signal does not
 * interrupt it.
 *
 * Returns 0, or a negative errno of sendmsg(2).
 */
int fdpass_send(int socket, const Endpoint *to, const void *data, size_t size, const int *fds,
                size_t n, int flags);

/*
 * fdpass_receive: receives a message with descriptors, up to @most of them, from @socket, if there
 * is one. What else is in it does not matter.
 *
 * @flags: MSG_PEEK or 0; with it the message stays there.
 *
 * Returns how many there are and sets as many of @ret_fds, which are the caller's; or a negative
 * errno of recvmsg(2): -EBADMSG when there are none in it, or the other end is closed; -EMFILE when
 * there are more than @most, or than the process has room for.
 */
int fdpass_receive(int socket, int *ret_fds, size_t most, int flags);
