/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/endpoint.h"

/*
 * bind_open: Opens a socket of @type, SOCK_STREAM or SOCK_DGRAM, at @endpoint. A stream socket
 * listens. Falls back to IPv4 for a port alone where there is no IPv6. Replaces the file of a Unix
 * socket on which no process listens any more.
 *
 * Internet connections have TCP_NODELAY, and the buffers and SO_KEEPALIVE times of mpecho.socket
 * (tcp(7)); a UDP socket has the buffers of mpecho-udp.socket.
 *
 * Returns the socket, which the caller closes, or a negative errno of socket(2), bind(2) or
 * listen(2).
 */
int bind_open(const Endpoint *endpoint, int type);
