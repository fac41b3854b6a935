/* SPDX-License-Identifier: MIT */
/*
 * Hands a connection over. A handler that must stop opens a channel to its master and sends one
 * message: its connection and, directly behind it, a memfd with the bytes that the peer has not
 * accepted. It waits for the answer that systemd has both, so at any time some process holds the
 * connection.
 *
 * When that master is gone, or does not answer, the handler asks the keeper (server/keeper.h) in
 * the same way. It must not exit before systemd has the connection. It cannot store it by itself: a
 * process that can send datagrams to systemd can end the service, so the sandbox refuses handlers
 * the sockets for that (confine.h).
 *
 * A channel is a Unix connection. A handler believes sockets on which its own master listened, as
 * the kernel attests (SO_PEERCRED, unix(7)): after the master's death another process could have
 * its address.
 *
 * Until a handler takes the unsent bytes, whoever closes the connection leaves a hole: systemd at a
 * stop, a master without descriptors for the bundle. So a connection with such bytes carries the
 * order to reset it.
 *
 * The handler of a silent connection has one channel more, for one message without descriptors: the
 * peer that its PROXY header announces. The answer follows at once, also while the master stops.
 */
#include "restart/handover.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
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

/* How long it waits for the keeper's answer, and so for systemd (fdstore_barrier()). */
#define KEEPER_PATIENCE (25 * CLOCK_SECOND)

static_assert(KEEPER_PATIENCE > FDSTORE_PATIENCE, "the keeper answers first, if systemd does");

int handover_listen(Endpoint *ret_address) {
        /* Without a name, bind(2) chooses one. */
        const struct sockaddr any = { .sa_family = AF_UNIX };
        int fd, r;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        socket_refuse_descriptors(fd);
        r = bind(fd, &any, sizeof(sa_family_t)) < 0 || listen(fd, INT_MAX) < 0 ? -errno : 0;
        if (r == 0)
                r = endpoint_from_socket(fd, ret_address);
        if (r == 0)
                return fd;
        close(fd);
        return r;
}

/* Returns the process at the other end of @channel: the one that opened it, or that listened where
 * this process opened it; 0 for one of another user. It can have ended, and a process of this user
 * can have its ID now. */
static pid_t channel_peer(int channel) {
        struct ucred peer;
        socklen_t size = sizeof peer;

        if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return 0;
        return peer.uid == geteuid() ? peer.pid : 0;
}

int handover_accept(int socket, pid_t *ret_handler) {
        int channel;

        do
                channel = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
        while (channel < 0 && errno == EINTR);
        if (channel < 0)
                return -errno;
        *ret_handler = channel_peer(channel);
        return channel;
}

void handover_welcome(int channel) {
        socket_permit_descriptors(channel);
        handover_answer(channel, HANDOVER_WELCOME);
}

void handover_answer(int channel, char answer) {
        while (send(channel, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
               errno == EINTR)
                ;
}

bool handover_is_gift(const int *fds, int n) {
        return n <= 2 && socket_is_stream(fds[0]) && (n == 1 || unsent_is_file(fds[1]));
}

bool handover_stores(const HandoverAddress *address) {
        return address->inbox.length > 0 && address->run > 0;
}

/* Waits for an answer. Returns it, or a negative errno. */
static int channel_expect(int channel) {
        char answer;
        ssize_t n;

        do
                n = recv(channel, &answer, sizeof answer, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 0 ? -ECONNRESET : answer;
}

/* Connects to @address. While too many handlers wait there this blocks, and a second SIGTERM may
 * come. Returns 0 or a negative errno. */
static int channel_connect(int channel, const Endpoint *address) {
        int r;

        do
                r = connect(channel, &address->any, address->length);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

/* Opens a channel to @address, where @master has listened. Returns it; -EPERM when another process
 * has that address, or another negative errno without a welcome. */
static int channel_open(const Endpoint *address, pid_t master, uint64_t patience) {
        int channel, r;

        channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (channel < 0)
                return -errno;
        socket_set_timeout(channel, SO_SNDTIMEO, patience);
        socket_set_timeout(channel, SO_RCVTIMEO, patience);
        r = channel_connect(channel, address);
        if (r == 0)
                r = channel_peer(channel) == master ? channel_expect(channel) : -EPERM;
        if (r == HANDOVER_WELCOME)
                return channel;
        close(channel);
        return r < 0 ? r : -EPROTO;
}

/* Sends @size bytes of @data with @fds, waits for the answer and closes the channel. Returns 0 when
 * they are stored or the peer is served, -ECANCELED when the master declines; or another negative
 * errno without an answer, or @channel when that is one. */
static int channel_ask(int channel, const void *data, size_t size, const int *fds, size_t n) {
        int r;

        if (channel < 0)
                return channel;
        r = fdpass_send(channel, NULL, data, size, fds, n, 0);
        if (r == 0)
                r = channel_expect(channel);
        close(channel);
        if (r < 0)
                return r;
        return r == HANDOVER_STORED || r == HANDOVER_SERVED ? 0 : -ECANCELED;
}

static int handover_ask_master(const HandoverAddress *address, const void *data, size_t size,
                               const int *fds, size_t n) {
        return channel_ask(channel_open(&address->inbox, address->master, ANSWER_PATIENCE), data,
                           size, fds, n);
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
        r = handover_ask_master(address, "", 1, fds, n);
        if (r < 0 && r != -ECANCELED)
                r = channel_ask(channel_open(&address->keeper, address->master, KEEPER_PATIENCE),
                                "", 1, fds, n);
        descriptor_close(fds[1]);
        return r;
}

int handover_announce(const HandoverAddress *address, const Address *peer) {
        return handover_ask_master(address, peer, sizeof *peer, NULL, 0);
}
