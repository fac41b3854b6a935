/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/endpoint.h"

/*
 * How a handler hands its connection over when the service stops. Its master (inbox.h) moves it
 * into systemd's descriptor store; without a master the handler stores it by itself. The next
 * master finds it there. The handler of a silent connection (roster.h) also announces its peer to
 * its master.
 */

/* Where a handler reaches its master. Without one, @inbox has length 0. */
typedef struct HandoverAddress {
        Endpoint inbox;
        uint64_t key; /* the inbox takes no message without it */
        pid_t master; /* the only process that the handler believes */
        uint64_t run; /* the number of this run of the service, see fdstore.h; 0 without a store */
} HandoverAddress;

/* What the master answers over a channel: one byte. */
enum {
        HANDOVER_WELCOME = 'w',  /* the channel is open */
        HANDOVER_STORED = 's',   /* systemd has the connection */
        HANDOVER_SERVED = 'a',   /* the announced peer is served */
        HANDOVER_DECLINED = 'd', /* it is not, or the master does not stop */
};

/*
 * handover_stores: Returns whether connections can be handed over at @address.
 */
bool handover_stores(const HandoverAddress *address);

/*
 * handover_give: Gives @connection away, and the @size bytes of @unsent that the peer has not
 * accepted; blocks until systemd has them. The descriptor stays the caller's. With unsent bytes the
 * last close(2) of the connection resets it (socket.h) from now on.
 *
 * Returns 0 when they are stored; -ECANCELED when the master declines, since it does not stop;
 * another negative errno when they can neither be given nor stored.
 */
int handover_give(const HandoverAddress *address, int connection, const char *unsent, size_t size);

/*
 * handover_announce: Announces @peer; all zeros for nobody but the real peer.
 * Blocks until the master answers. Call once, for a silent connection.
 *
 * Returns 0 when the connection is to be served; -ECANCELED when it is refused; another negative
 * errno without an answer.
 */
int handover_announce(const HandoverAddress *address, const Address *peer);
