/* SPDX-License-Identifier: MIT */
/*
 * Hands a connection over. A handler that must stop opens a channel to its master and sends one
 * message: its connection and, directly behind it, a memfd with the bytes that the peer has not
 * accepted. It waits for the answer that systemd has both, so at any time some process holds the
 * connection.
 *
 * A channel is a socket pair, one end of which goes to the master's inbox (inbox.h). With
 * connect(2) a handler that a peer has taken over could leave the sandbox by its own connection, so
 * handlers are denied it (confine.h).
 *
 * A handler believes its own master alone, which the kernel attests (SCM_CREDENTIALS, unix(7)):
 * after the master's death another process could have its address. When there is no such master, or
 * it does not answer, the handler stores a bundle of its own. It must not exit before systemd has
 * that.
 *
 * Until a handler takes the unsent bytes, whoever closes the connection leaves a hole: systemd at a
 * stop, a master without descriptors for the bundle. So a connection with such bytes carries the
 * order to reset it.
 *
 * The handler of a silent connection has one channel more, for one message without descriptors: the
 * peer that its PROXY header announces. The answer follows at once, also while the master stops.
 */
#include "restart/handover.h"

#include <endian.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "restart/unsent.h"

/* How long a handler waits for its master's answer before it takes the master for hung. */
#define ANSWER_PATIENCE (5 * CLOCK_SECOND)

bool handover_stores(const HandoverAddress *address) {
        return address->inbox.length > 0 && address->run > 0;
}

/* Sends one end of a channel to the master. While its inbox is full this blocks, and a second
 * SIGTERM may come. */
static int inbox_send(const HandoverAddress *address, int end) {
        const uint64_t key = htobe64(address->key);
        int fd, r;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        socket_set_timeout(fd, SO_SNDTIMEO, ANSWER_PATIENCE);
        r = fdpass_send(fd, &address->inbox, &key, sizeof key, &end, 1, 0);
        close(fd);
        return r;
}

/* Waits for an answer. Returns it; or a negative errno, -EPERM from another process than @master.
 */
static int channel_expect(int channel, pid_t master) {
        int fds[FDPASS_MOST], n;
        FdpassNote note = {};

        n = fdpass_receive(channel, &note, fds, 0);
        if (n < 0)
                return n;
        for (int i = 0; i < n; i++)
                descriptor_close(fds[i]);
        if (note.size == 0)
                return -ECONNRESET;
        return note.sender == master ? note.data[0] : -EPERM;
}

/* Opens a channel to the master. Returns it; -EPERM when another process has the master's address,
 * or another negative errno without a welcome. */
static int channel_open(const HandoverAddress *address) {
        int ends[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        socket_set_timeout(ends[0], SO_RCVTIMEO, ANSWER_PATIENCE);
        (void)setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
        r = inbox_send(address, ends[1]);
        close(ends[1]);
        if (r == 0)
                r = channel_expect(ends[0], address->master);
        if (r == HANDOVER_WELCOME)
                return ends[0];
        close(ends[0]);
        return r < 0 ? r : -EPROTO;
}

/* Opens a channel, sends @size bytes of @data with @fds and waits for the answer. Returns 0 when
 * they are stored or the peer is served, -ECANCELED when the master declines; or another negative
 * errno without an answer. */
static int handover_ask(const HandoverAddress *address, const void *data, size_t size,
                        const int *fds, size_t n) {
        int channel, r;

        channel = channel_open(address);
        if (channel < 0)
                return channel;
        r = fdpass_send(channel, NULL, data, size, fds, n, 0);
        if (r == 0)
                r = channel_expect(channel, address->master);
        close(channel);
        if (r < 0)
                return r;
        return r == HANDOVER_STORED || r == HANDOVER_SERVED ? 0 : -ECANCELED;
}

int handover_give(const HandoverAddress *address, int connection, const char *unsent, size_t size) {
        int fds[2] = { connection, -1 };
        size_t n = 1;
        int r;

        if (size > 0) {
                fds[1] = unsent_new(unsent, size);
                if (fds[1] < 0)
                        return fds[1];
                n = 2;
                socket_set_reset(connection);
        }
        r = handover_ask(address, "", 1, fds, n);
        if (r < 0 && r != -ECANCELED)
                r = fdstore_put_connections(fds, n, address->run, getpid());
        descriptor_close(fds[1]);
        return r;
}

int handover_announce(const HandoverAddress *address, const Address *peer) {
        return handover_ask(address, peer, sizeof *peer, NULL, 0);
}
