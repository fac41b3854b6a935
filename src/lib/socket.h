/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * socket_cookie: Returns the number that identifies the socket @fd while the machine runs
 * (SO_COOKIE, socket(7)); 0 if @fd is not a socket.
 *
 * socket_is_stream: Returns whether @fd is a stream socket that does not listen: a connection, even
 * if the peer has reset it already.
 *
 * socket_is_datagram: Returns whether @fd is a datagram socket that can be echoed on: UDP over IPv4
 * or IPv6 (udp(7)), or a Unix one (unix(7)).
 *
 * socket_is_local: Returns whether @fd is a Unix socket (unix(7)).
 */
uint64_t socket_cookie(int fd);
bool socket_is_stream(int fd);
bool socket_is_datagram(int fd);
bool socket_is_local(int fd);

/*
 * socket_is_readable: Returns whether bytes, the end or an error of the stream wait at @fd.
 *
 * socket_is_writable: Returns whether the send buffer of @fd has room, or the stream an error.
 */
bool socket_is_readable(int fd);
bool socket_is_writable(int fd);

/* socket_refuse_descriptors: Makes the kernel refuse messages with descriptors to the Unix socket
 * @fd, and to the connections that come from it (SO_PASSRIGHTS, Linux 6.16). Has no effect on older
 * kernels and other sockets. socket_permit_descriptors: Makes it pass them on again. */
void socket_refuse_descriptors(int fd);
void socket_permit_descriptors(int fd);

/* socket_set_reset: Makes the last close(2) of the connection @fd send a reset instead of the end
 * of the stream (SO_LINGER, socket(7)). Has no effect on sockets that are not TCP.
 * socket_unset_reset: Makes it send the end again. socket_reset: Closes @fd with a reset. */
void socket_set_reset(int fd);
void socket_unset_reset(int fd);
void socket_reset(int fd);

/* socket_set_timeout: Sets how long a read or a write of the stream socket @fd blocks at most. The
 * @option is SO_RCVTIMEO or SO_SNDTIMEO (socket(7)); a @duration of 0 sets no limit. */
void socket_set_timeout(int fd, int option, uint64_t duration);
