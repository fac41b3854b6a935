/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/endpoint.h"

/*
 * A message to the service manager, in the protocol that sd_notify(3) documents. The functions of
 * libsystemd block while the manager does not read, and handlers do not inherit the library.
 */

/*
 * notification_open: makes a socket to send to the service manager that $NOTIFY_SOCKET names.
 *
 * Returns the socket, which is the caller's, and sets @ret_manager; -ENOTCONN when there is no
 * manager, or a negative errno of socket(2).
 */
int notification_open(Endpoint *ret_manager);

/*
 * notification_send: sends @message, assignments separated by newlines, with copies of the @n
 * descriptors @fds, 0 to FDPASS_MOST, from @socket to @manager.
 *
 * @flags: MSG_DONTWAIT or 0. A signal does not interrupt it.
 *
 * Returns 0, or a negative errno of sendmsg(2).
 */
int notification_send(int socket, const Endpoint *manager, const char *message, const int *fds,
                      size_t n, int flags);
