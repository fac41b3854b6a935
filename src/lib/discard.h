/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Closes descriptors that came from others, or that others have, without waiting for whoever is at
 * their other ends. Uses SIGALRM and the timer of alarm(2): the caller can use neither. */

enum {
        DISCARD_MOST = 1024,
};

/* Begins as {}, or with @waits. */
typedef struct Discard {
        bool waits; /* whether discard_close() reaps the child that it needs */
        size_t n;
        int fds[DISCARD_MOST];
} Discard;

/*
 * discard_add: Takes @fd, unless it is negative, to be closed; closes all when there is no room for
 * more.
 *
 * discard_add_channel: Refuses more messages at @fd, a connected Unix socket of datagrams or of
 * SOCK_SEQPACKET. Closes it at once when no message waits there; otherwise takes it as
 * discard_add() does.
 *
 * discard_close: Closes all that was taken. Leaves a child process that ends at once and that the
 * caller reaps (waitpid(2)), unless @waits: for as long as the kernel needs to close everything.
 * When there cannot be a child, each close(2) waits for at most a millisecond.
 */
void discard_add(Discard *discard, int fd);
void discard_add_channel(Discard *discard, int fd);
void discard_close(Discard *discard);

/* discard_client: Closes the connection @fd with a reset. One of a Unix socket it closes as
 * discard_close() does, and leaves a child: its messages may hold descriptors. */
void discard_client(int fd);

/* discard_inherited: Closes @fd, a connection of a network that a child has inherited. The child
 * can have closed its own descriptor already, and can have made the connection linger; then this
 * waits for at most ten milliseconds. */
void discard_inherited(int fd);
