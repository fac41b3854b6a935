/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/discard.h"
#include "restart/bundle.h"
#include "restart/handover.h"

/* Where the master takes channels from its handlers. It moves the connections of those that must
 * stop into systemd's descriptor store, where the next master finds them, and it answers the
 * announcements of silent ones (roster.h). */

/* The questions of the inbox to the master about its handlers. Each function gets @data. */
typedef struct InboxMaster {
        void *data;
        /* Returns 0 when the process @handler may open a channel: it serves a connection for which
         * it has opened none, or none since its announcement. Kills any other handler and returns
         * -EPERM. Returns -ESRCH for a process that is no handler. */
        int (*admit)(void *data, pid_t handler);
        /* Returns whether the process @handler is the handler of the connection with @cookie. */
        bool (*serves)(void *data, pid_t handler, uint64_t cookie);
        /* Notes that systemd has the connection of the process @handler. */
        void (*note_stored)(void *data, pid_t handler);
        /* Returns whether the process @handler may announce its peer. */
        bool (*awaits)(void *data, pid_t handler);
        /* Returns whether the peer @announced by such a @handler is served: any bytes can come. */
        bool (*announce)(void *data, pid_t handler, const Address *announced, uint64_t now);
} InboxMaster;

enum {
        /* Channels at once: a bundle holds the connections of all, each with unsent bytes. */
        INBOX_MOST = BUNDLE_MOST / 2,
};

typedef struct InboxChannel {
        int fd;
        pid_t handler;
        uint64_t deadline; /* when it is closed if the handler stays silent */
        int connection;    /* -1 before the handler has given it */
        int unsent;        /* a memfd, or -1 */
} InboxChannel;

typedef struct Inbox {
        int fd;     /* readable when a handler opens a channel, sends or leaves; -1 for no inbox */
        int socket; /* where handlers open channels, see handover_listen() */
        HandoverAddress address;
        InboxMaster master;
        uint64_t pause_until; /* takes no channel before; 0 without a pause */
        uint64_t lack; /* the last pause for want of resources; 0 without one since a channel */
        bool polling;  /* whether a channel that waits at @socket makes @fd readable */
        size_t n;
        InboxChannel channels[INBOX_MOST];
        Discard discard; /* what the turn closes at its end */
} Inbox;

/*
 * inbox_init: Creates the master's socket. @run: the number of this run; 0 when systemd does not
 * store connections.
 *
 * Returns 0, or a negative errno; @inbox needs inbox_deinit() in any case.
 */
int inbox_init(Inbox *inbox, uint64_t run, const InboxMaster *master);
void inbox_deinit(Inbox *inbox);

/*
 * inbox_take: Takes channels of handlers, answers their announcements and receives the
 * connections that they give, without waiting for any. @stopping: whether the master stops.
 *
 * inbox_settle: Stores the connections that were received, when the master is @stopping, and
 * answers; otherwise declines, and the handlers end them. The master must look for its own SIGTERM
 * between the two calls: systemd sends it before those of the handlers.
 */
void inbox_take(Inbox *inbox, bool stopping, uint64_t now);
void inbox_settle(Inbox *inbox, bool stopping, uint64_t now);

/* inbox_deadline: Returns when a turn is due without @fd being readable, or CLOCK_NEVER. */
uint64_t inbox_deadline(const Inbox *inbox);
