/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/endpoint.h"

/*
 * Passes descriptors over Unix sockets: a message carries duplicates of them (SCM_RIGHTS, unix(7)).
 */

enum {
        /* Descriptors of one message at most (SCM_MAX_FD of the kernel). */
        FDPASS_MOST = 253,
        /* Room for the bytes of a message, the rest of which is lost. */
        FDPASS_DATA = 64,
};

/* The bytes of a message beside its descriptors. */
typedef struct FdpassNote {
        char data[FDPASS_DATA];
        size_t size;   /* of the whole message, in bytes; 0 at the end of the stream too */
        bool attested; /* names its sender, as each message does with SO_PASSCRED (unix(7)); the end
                          of the stream does not */
} FdpassNote;

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
 * fdpass_receive: Receives a message from @socket, with any number of descriptors.
 *
 * @flags: MSG_DONTWAIT not to block, and MSG_PEEK to leave the message in the queue. Retries when a
 * signal interrupts it.
 *
 * Returns the number of descriptors and sets as many of @ret_fds, which the caller closes, and
 * @ret_note; 0 for a message without descriptors, or when the other end is closed. Returns -EAGAIN
 * without a message; -EMFILE if the message has more descriptors than this process can open; or
 * another negative errno of recvmsg(2).
 */
int fdpass_receive(int socket, FdpassNote *ret_note, int ret_fds[static FDPASS_MOST], int flags);
