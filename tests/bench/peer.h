/* SPDX-License-Identifier: MIT */
#pragma once

/* Sends back what comes from the peer connected to @fd until it has sent everything, or the
 * connection fails. */
void peer_echo(int fd);
