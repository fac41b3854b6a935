/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/endpoint.h"

/*
 * bind_open: Opens a socket of @type, SOCK_STREAM or SOCK_DGRAM, at @endpoint. A stream socket
 * listens. A port alone falls back to IPv4 where there is no IPv6. The file of a Unix socket that
 * no process listens on any more is replaced.
 *
 * Internet connections have TCP_NODELAY, and the buffers and SO_KEEPALIVE times of mpecho.socket
 * (tcp(7)).
 *
 * Returns the socket, which the caller closes, or a negative errno of socket(2), bind(2) or
 * listen(2).
 */
int bind_open(const Endpoint *endpoint, int type);
