/* SPDX-License-Identifier: MIT */
/*
 * Answers the inbox, which takes the messages of handlers and knows no connection. It asks: May
 * this process open a channel? Is this its connection? May it announce a peer, and is that served?
 *
 * A handler may open one channel to announce its peer, and one to hand over. The master kills it
 * for a further one, and a handler without a connection for any. The announcement comes once, and
 * charges the quota. A handler that a client has taken over can lie about its own peer, as its
 * proxy can, and about nothing else.
 *
 * Nothing here may believe a message about another connection than the sender's.
 */
#include "server/answers.h"

#include <errno.h>

#include "server/account.h"

static int answers_admit(void *data, pid_t handler) {
        Connections *connections = data;
        Connection *connection = roster_find(connections->roster, handler);

        if (connection == NULL || connection->channel_used)
                return reaper_kill_child(handler) ? -EPERM : -ESRCH;
        connection->channel_used = true;
        return 0;
}

static bool answers_serves(void *data, pid_t handler, uint64_t cookie) {
        const Connections *connections = data;
        const Connection *connection = roster_find(connections->roster, handler);

        return connection != NULL && connection->cookie == cookie;
}

static void answers_note_stored(void *data, pid_t handler) {
        Connections *connections = data;
        Connection *connection = roster_find(connections->roster, handler);

        if (connection == NULL || connection->stored)
                return;
        connection->stored = true;
        connections->stored++;
}

static bool answers_awaits(void *data, pid_t handler) {
        const Connections *connections = data;
        const Connection *connection = roster_find(connections->roster, handler);

        return connection != NULL && connection->state == LEDGER_SILENT;
}

/* Copies what can be an announced peer. Returns whether @announced is one: a handler can have sent
 * any bytes. */
static bool announced_take(const Address *announced, Address *ret_peer) {
        switch (announced->family) {
        case AF_INET:
                *ret_peer = address_from_bytes(&announced->ipv4, sizeof announced->ipv4,
                                               announced->port);
                return true;
        case AF_INET6:
                *ret_peer = address_from_bytes(&announced->ipv6, sizeof announced->ipv6,
                                               announced->port);
                return true;
        default:
                return false;
        }
}

static bool answers_announce(void *data, pid_t handler, const Address *announced, uint64_t now) {
        Connections *connections = data;
        Connection *connection = roster_find(connections->roster, handler);
        Address peer = connection->peer;
        const bool other = announced_take(announced, &peer);

        if (!quota_charge(connections->quota, address_source(&peer))) {
                roster_refuse(connections->roster, connection);
                account_refused(connections, &peer, other ? connection->peer_text : NULL,
                                connection->listener, METRICS_MAX_PER_SOURCE, NULL, now);
                return false;
        }
        roster_announce(connections->roster, connection, other ? &peer : NULL);
        /* It needs another one to hand over. */
        connection->channel_used = false;
        account_accepted(connections, connection, now);
        return true;
}

InboxMaster answers_for_inbox(Connections *connections) {
        return (InboxMaster){ .data = connections,
                              .admit = answers_admit,
                              .serves = answers_serves,
                              .note_stored = answers_note_stored,
                              .awaits = answers_awaits,
                              .announce = answers_announce };
}
