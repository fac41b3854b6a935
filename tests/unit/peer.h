/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* The other end of a connection: everything that it waits for has a deadline. */

/*
 * peer_pair: a connected pair of Unix stream sockets. peer_pair_tcp: of TCP sockets over the
 * loopback device. [0] is the peer's, [1] the service's. The caller closes both.
 */
void peer_pair(int fds[static 2]);
void peer_pair_tcp(int fds[static 2]);

/*
 * peer_connect: connects to 127.0.0.1 from @from, an address of 127.0.0.0/8 in host byte order.
 * Returns the socket, which the caller closes.
 */
int peer_connect(in_port_t port, in_addr_t from);

/*
 * peer_port: the port that the socket @fd is bound to, in host byte order.
 */
in_port_t peer_port(int fd);

/*
 * peer_send: sends all @size bytes at @data.
 */
void peer_send(int fd, const void *data, size_t size);

/*
 * peer_receive: receives @size bytes to @data. Returns how many came before the end of the stream.
 */
size_t peer_receive(int fd, void *data, size_t size);

/*
 * peer_echo: sends @text and asserts that it comes back.
 */
void peer_echo(int fd, const char *text);

/*
 * peer_pattern: byte number @i of a stream in which no byte's place can be taken for another's
 * nearby.
 */
unsigned char peer_pattern(size_t i);

/*
 * peer_fill: sends the pattern until the socket takes no more, or the other end has closed. Returns
 * how many bytes it took,
 * @from being how many it took before.
 */
size_t peer_fill(int fd, size_t from);

/*
 * peer_expect_pattern: asserts that bytes @from up to @to of the pattern come, then the end of the
 * stream where @end says so.
 */
void peer_expect_pattern(int fd, size_t from, size_t to, bool end);

/*
 * peer_receive_pattern: receives the pattern from its beginning to the end of the stream. Returns
 * how many bytes came.
 */
size_t peer_receive_pattern(int fd);

/*
 * peer_expect_end, peer_expect_reset: asserts that what comes next is the end of the stream, or a
 * reset.
 */
void peer_expect_end(int fd);
void peer_expect_reset(int fd);

/*
 * peer_wait_readable: waits for @fd to be readable, which it asserts.
 */
void peer_wait_readable(int fd);
