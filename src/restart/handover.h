/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "restart/fdstore.h"
#include "server/roster.h"

typedef struct Handover Handover;
typedef struct HandoverAddress HandoverAddress;

/*
 * How a connection gets from a handler that was told to stop to the next master: over systemd's
 * file descriptor store.
 *
 * A handler gives its connection to its master, over a socket made for it, and waits for the
 * answer. The master stores what many handlers give in packs (pack.h), and answers when systemd has
 * them. When the master is gone, because it crashed, a handler takes its place at its address, and
 * stores what the others give and its own; when it leaves, another one does. A handler that nobody
 * answers stores its connection by itself. So there is always a process that holds the connection
 * until systemd does.
 *
 * What the handler has read and its peer does not take is given and stored with the connection, see
 * pending.h.
 */
struct HandoverAddress {
        struct sockaddr_un name;
        socklen_t length;
};

/* The master's side: the socket that handlers connect to, and those that have. */
struct Handover {
        int fd; /* -1 when connections are not handed over */
        HandoverAddress address;
        size_t n;
        struct {
                int channel;
                int connection; /* -1 before it was given */
                int pending;    /* -1 when there is nothing */
        } given[STORE_MOST];
};

/*
 * handover_init: makes the master's socket, with an abstract name that the kernel chooses
 * (unix(7)).
 *
 * Returns 0, or a negative errno; @handover needs handover_deinit() in any case.
 */
int handover_init(Handover *handover);
void handover_deinit(Handover *handover);

/*
 * handover_turn: takes what handlers give, as far as it does not have to wait for them, stores it,
 * and answers.
 *
 * @roster: only its handlers are listened to; NULL for all processes of this user.
 * @stopping: whether connections are handed over; if not, the handlers are told to end them.
 */
void handover_turn(Handover *handover, Roster *roster, bool stopping);

/*
 * handover_waiting: whether a handler has connected and not yet given its connection.
 */
bool handover_waiting(const Handover *handover);

/*
 * handover_give: the handler's side: gives away @connection, and the @size bytes at @pending that
 * are still to be written to it. Waits until it is stored. The descriptor stays the caller's.
 *
 * Returns 0 when it is stored; -ECANCELED when the master, or who is in its place, declines;
 * another negative errno when it can neither be given nor stored.
 */
int handover_give(const HandoverAddress *master, int connection, const char *pending, size_t size);

/*
 * socket_cookie: the number by which the kernel knows the socket @fd, never used twice; 0 when it
 * has none.
 */
uint64_t socket_cookie(int fd);
