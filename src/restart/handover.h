/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/endpoint.h"

/* How a handler hands its connection over when the service stops. Its master (inbox.h) moves the
 * connection into systemd's descriptor store or, when the master does not answer, the keeper
 * does (server/keeper.h). The next master finds it there. The handler of a silent connection
 * (roster.h) also announces its peer to its master. */

enum {
        /* The size of an address of handover_listen(), in bytes: a zero and 5 digits (unix(7)). */
        HANDOVER_ADDRESS_SIZE = sizeof(sa_family_t) + 6,
};

/* How long the master and, beside it, the keeper wait for a handler that has opened a channel. */
#define HANDOVER_CHANNEL_PATIENCE CLOCK_SECOND

/* Where a handler reaches its master and the keeper. Without a master, @inbox has length 0. */
typedef struct HandoverAddress {
        Endpoint inbox;
        Endpoint keeper; /* length 0 without a store */
        pid_t master;    /* the only process whose sockets the handler believes */
        uint64_t run; /* the number of this run of the service, see fdstore.h; 0 without a store */
} HandoverAddress;

/* The answers of the master and the keeper over a channel: one byte each. */
enum {
        HANDOVER_WELCOME = 'w',  /* the channel is open */
        HANDOVER_STORED = 's',   /* systemd has the connection */
        HANDOVER_SERVED = 'a',   /* the announced peer is served */
        HANDOVER_DECLINED = 'd', /* the peer is refused, or the master does not stop */
};

/*
 * handover_listen: Opens a socket where handlers open channels, with an abstract name that the
 * kernel chooses (unix(7)). It is nonblocking.
 *
 * Returns it, which the caller closes, and sets @ret_address; or returns a negative errno.
 *
 * handover_accept: Takes the next channel at such a @socket, without waiting for one. Sets
 * @ret_handler to the process that has opened it, or to 0 for one of another user or process ID
 * namespace.
 *
 * Returns the channel, a blocking socket that the caller closes (discard.h); or a negative errno,
 * -EAGAIN when none waits.
 *
 * handover_welcome: Answers HANDOVER_WELCOME. From Linux 6.16 on the @channel takes descriptors
 * only after that. handover_answer: Answers @answer, another one of the above. Neither blocks: a
 * handler that has filled its channel gets no answer.
 *
 * handover_is_gift: Returns whether the @n descriptors @fds, 1 or more, are a connection, alone or
 * with unsent bytes (unsent.h).
 */
int handover_listen(Endpoint *ret_address);
int handover_accept(int socket, pid_t *ret_handler);
void handover_welcome(int channel);
void handover_answer(int channel, char answer);
bool handover_is_gift(const int *fds, int n);

/* handover_stores: Returns whether connections can be handed over at @address. */
bool handover_stores(const HandoverAddress *address);

/*
 * handover_give: Gives @connection away, and the @size bytes of @unsent that the peer has not
 * accepted. Blocks until systemd has them: at most for 5 seconds in each step with the master, and
 * then for 25 with the keeper. The descriptor stays the caller's. With unsent bytes the last
 * close(2) of the connection resets it (socket.h) from now on.
 *
 * Returns 0 when they are stored; -ECANCELED when the master declines, as it does not stop; another
 * negative errno when neither the master nor the keeper has stored them.
 */
int handover_give(const HandoverAddress *address, int connection, const char *unsent, size_t size);

/*
 * handover_announce: Announces @peer to the master; all zeros stand for the real peer. Blocks until
 * the master answers, at most for 5 seconds in each step. Call once, for a silent connection.
 *
 * Returns 0 when the connection is to be served; -ECANCELED when it is refused; another negative
 * errno without an answer.
 */
int handover_announce(const HandoverAddress *address, const Address *peer);
