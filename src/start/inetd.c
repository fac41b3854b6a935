/* SPDX-License-Identifier: MIT */
/*
 * Serves one passed connection in this process, without a fork: an inetd ("nowait") or systemd
 * (Accept=yes) starts mpecho for each. The process runs the code of a handler and writes the
 * records that a master would write.
 *
 * There is no master to hand the connection over to and no ledger that others read: the entry lies
 * on the stack. Nothing may write to stdout or stderr from here on, as both can be the connection.
 */
#include "start/inetd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/address.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/number.h"
#include "report/notify.h"

/* Writes the address of this end as text: IPv4 is mapped to IPv6 on a socket that accepts both. */
static void inetd_format_listener(const Endpoint *endpoint, char text[static ENDPOINT_TEXT_SIZE]) {
        const struct sockaddr_in6 *ipv6 = &endpoint->ipv6;
        Address address = {};

        if (endpoint->any.sa_family == AF_INET6)
                address = address_from_bytes(&ipv6->sin6_addr, sizeof ipv6->sin6_addr,
                                             ntohs(ipv6->sin6_port));
        if (address.family == AF_INET)
                address_format(&address, text);
        else
                endpoint_format(endpoint, text);
}

/* Sets @ret_peer to the address that systemd has passed (Accept= in systemd.socket(5)), if any. */
static void inetd_take_remote(Address *ret_peer) {
        const char *text = getenv("REMOTE_ADDR"), *port = getenv("REMOTE_PORT");
        struct in6_addr ipv6;
        struct in_addr ipv4;
        uint64_t number;

        if (text == NULL || port == NULL || number_parse(port, 1, UINT16_MAX, &number) < 0)
                return;
        if (inet_pton(AF_INET, text, &ipv4) == 1)
                *ret_peer = address_from_bytes(&ipv4, sizeof ipv4, (in_port_t)number);
        else if (inet_pton(AF_INET6, text, &ipv6) == 1)
                *ret_peer = address_from_bytes(&ipv6, sizeof ipv6, (in_port_t)number);
}

/* Writes the two ends of @connection as text. Returns 0 or a negative errno. */
static int inetd_look(int connection, char ret_peer[static ADDRESS_TEXT_SIZE],
                      char ret_listener[static ENDPOINT_TEXT_SIZE]) {
        Endpoint endpoint;
        Address peer = {};
        int r;

        r = address_from_peer(connection, NULL, &peer);
        /* After a reset the connection has no peer, but systemd may have seen it. */
        if (r == -ENOTCONN)
                inetd_take_remote(&peer);
        else if (r < 0)
                return r;
        r = endpoint_from_socket(connection, &endpoint);
        if (r < 0)
                return r;
        address_format(&peer, ret_peer);
        inetd_format_listener(&endpoint, ret_listener);
        return 0;
}

/* Makes reads and writes block: with NonBlocking=yes systemd passes a connection that does not. */
static int inetd_block(int connection) {
        const int flags = fcntl(connection, F_GETFL);

        if (flags < 0 || fcntl(connection, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int inetd_serve(int connection, const Options *options, Journal *journal, Failure *ret_failure) {
        char peer[ADDRESS_TEXT_SIZE], listener[ENDPOINT_TEXT_SIZE];
        const uint64_t started = clock_now();
        LedgerEntry entry = {};
        Handler handler = { .connection = connection,
                            .unsent = -1,
                            .idle_timeout = options->idle_timeout,
                            .ledger = &entry };
        Record record;
        int r;

        /* With Type=notify systemd would otherwise end the service, and with Restart= start it
         * again for the same connection. */
        (void)notify_once("READY=1", NULL, 0, 0);
        r = inetd_look(connection, peer, listener);
        if (r == 0)
                r = inetd_block(connection);
        if (r < 0)
                return failure_set(ret_failure, r, "Cannot serve the passed connection: %s",
                                   strerrordesc_np(-r));
        record = (Record){ .kind = RECORD_ACCEPTED,
                           .peer = peer,
                           .listener = listener,
                           .handler_pid = (uint64_t)getpid(),
                           .live = 1 };
        journal_write(journal, &record, started);
        /* The handler blocks: the journal writes nothing more until the connection ends. */
        journal_finish(journal, 0);

        handler_init(0);
        snprintf(handler.title, sizeof handler.title, "mpecho: %s", peer);
        record.kind = RECORD_CLOSED;
        record.reason = end_reason_text(end_reason_from_exit_code(handler_serve(&handler)));
        record.bytes = entry.bytes;
        record.duration = clock_now() - started;
        record.live = 0;
        journal_write(journal, &record, clock_now());
        return 0;
}
