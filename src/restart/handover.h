/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/endpoint.h"
#include "restart/bundle.h"

typedef struct Handover Handover;
typedef struct HandoverAddress HandoverAddress;
typedef struct HandoverChannel HandoverChannel;
typedef struct HandoverMaster HandoverMaster;

/*
 * The channel from a handler to its master. It moves connections from handlers that must stop into
 * systemd's descriptor store, where the next master finds them. And it takes the announcement of a
 * peer from the handler of a silent connection (roster.h).
 */

/* Where a handler reaches its master. Without one, @inbox has length 0. */
struct HandoverAddress {
        Endpoint inbox;
        pid_t master; /* the only process that the handler believes */
        uint64_t run; /* the number of this run of the service, see fdstore.h; 0 without a store */
};

/* The master's answers about its handlers. @data is passed to each function. */
struct HandoverMaster {
        void *data;
        /* Returns 0 when the process @handler may open a channel: it serves a connection, has
         * opened none before, and has sent @proper messages alone. Kills any other handler and
         * returns -EPERM. Returns -ESRCH for a process that is no handler. */
        int (*admit)(void *data, pid_t handler, bool proper);
        /* Returns whether the process @handler is the handler of the connection with @cookie. */
        bool (*serves)(void *data, pid_t handler, uint64_t cookie);
        /* Notes that systemd has the connection of the process @handler. */
        void (*note_stored)(void *data, pid_t handler);
        /* Returns whether the process @handler may announce its peer. */
        bool (*awaits)(void *data, pid_t handler);
        /* Returns whether the peer @announced by such a @handler is served: any bytes can come. */
        bool (*announce)(void *data, pid_t handler, const Address *announced, uint64_t now);
};

enum {
        /* Channels at once: a bundle holds the connections of all, each with unsent bytes. */
        HANDOVER_MOST = BUNDLE_MOST / 2,
};

struct HandoverChannel {
        int fd;
        pid_t handler;
        uint64_t deadline; /* when it is closed if the handler stays silent */
        int connection;    /* -1 before the handler has given it */
        int unsent;        /* a memfd, or -1 */
};

/* The master's side. */
struct Handover {
        int fd;    /* readable when a handler waits; -1 when connections are not handed over */
        int inbox; /* receives channels from handlers */
        HandoverAddress address;
        HandoverMaster master;
        uint64_t pause_until; /* takes no channel before; 0 without a pause */
        bool polling;         /* whether @fd is readable for the inbox as well */
        size_t n;
        HandoverChannel channels[HANDOVER_MOST];
};

/*
 * handover_init: Creates the master's socket, with an abstract name that the kernel chooses
 * (unix(7)). @run: the number of this run; 0 when systemd does not store connections.
 *
 * Returns 0, or a negative errno; @handover needs handover_deinit() in any case.
 */
int handover_init(Handover *handover, uint64_t run, const HandoverMaster *master);
void handover_deinit(Handover *handover);

/*
 * handover_stores: Returns whether connections can be handed over at @address.
 */
bool handover_stores(const HandoverAddress *address);

/*
 * handover_take: Takes channels of handlers, answers their announcements and receives the
 * connections that they give, without waiting for any. @stopping: whether the master stops.
 *
 * handover_settle: Stores the connections that were received, when the master is @stopping, and
 * answers; otherwise declines, and the handlers end them. The master must look for its own SIGTERM
 * between the two calls: systemd sends it before those of the handlers.
 */
void handover_take(Handover *handover, bool stopping, uint64_t now);
void handover_settle(Handover *handover, bool stopping, uint64_t now);

/*
 * handover_deadline: Returns when a turn is due without @fd being readable, or CLOCK_NEVER.
 */
uint64_t handover_deadline(const Handover *handover);

/*
 * handover_give: The handler's side. Gives @connection away, and the @size bytes of @unsent that
 * the peer has not accepted; blocks until systemd has them. The descriptor stays the caller's.
 *
 * Returns 0 when they are stored; -ECANCELED when the master declines, since it does not stop;
 * another negative errno when they can neither be given nor stored.
 */
int handover_give(const HandoverAddress *address, int connection, const char *unsent, size_t size);

/*
 * handover_announce: The handler's side. Announces @peer; all zeros for nobody but the real peer.
 * Blocks until the master answers. Call once, for a silent connection.
 *
 * Returns 0 when the connection is to be served; -ECANCELED when it is refused; another negative
 * errno without an answer.
 */
int handover_announce(const HandoverAddress *address, const Address *peer);
