#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "roster.h"
#include "store.h"

typedef struct Handover Handover;
typedef struct HandoverAddress HandoverAddress;

/*
 * How a connection gets from a handler that was told to stop to the next master: over systemd's
 * file descriptor store.
 *
 * A handler gives its connection to its master, over a socket made for it, and waits for the
 * answer. The master stores what many handlers give in packs (pack.h), and answers when systemd has
 * them. A handler whose master is gone, because it crashed, sees that its socket is closed and
 * stores the connection by itself: there is always a process that holds the connection until
 * systemd does.
 *
 * What the handler has read and its peer does not take is given and stored with the connection, in
 * a memfd: the connection's cookie (SO_COOKIE, socket(7)) in 8 bytes, and then the data.
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
 * @roster: only its handlers are listened to.
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
 * Returns 0 when it is stored; -ECANCELED when the master says that it is to be ended; another
 * negative errno when it can neither be given nor stored.
 */
int handover_give(const HandoverAddress *master, int connection, const char *pending, size_t size);

/*
 * handover_read_pending: reads back what handover_give() put into the memfd @fd.
 *
 * @buffer, @size: where the data goes; more is not taken. With NULL, only the cookie is read.
 *
 * Returns the number of bytes and sets @ret_cookie; or a negative errno: -EBADMSG when it is not
 * such a memfd.
 */
ssize_t handover_read_pending(int fd, char *buffer, size_t size, uint64_t *ret_cookie);

/*
 * socket_cookie: the number by which the kernel knows the socket @fd, never used twice; 0 when it
 * has none.
 */
uint64_t socket_cookie(int fd);
