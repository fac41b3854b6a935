/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/endpoint.h"

/*
 * bind_endpoint: makes a stream socket that listens at @endpoint.
 *
 * A port alone falls back to IPv4 where there is no IPv6; an address with a port takes connections
 * of its own family only. Internet connections have TCP_NODELAY, and SO_KEEPALIVE with the times
 * of mpecho.socket (tcp(7)). The file of a Unix socket that nobody listens on any more is replaced;
 * removing it in the end is up to the caller.
 *
 * Returns the socket, which is the caller's, or a negative errno of socket(2), bind(2) or
 * listen(2).
 */
int bind_endpoint(const Endpoint *endpoint);
