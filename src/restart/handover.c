/* SPDX-License-Identifier: MIT */
#include "restart/handover.h"

#include <errno.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fdpass.h"
#include "restart/bundle.h"
#include "restart/unsent.h"

/* How long a handler waits for its master's answer before it takes it for hung. */
#define HANDOVER_ANSWER_PATIENCE (5 * CLOCK_SECOND)

enum {
        HANDOVER_PAUSE = 20, /* milliseconds without anybody new after which who stands in leaves */
        HANDOVER_TURNS = 100,
};

/* The master's answers. */
static const char HANDOVER_STORED = 's';
static const char HANDOVER_DECLINED = 'd';

uint64_t socket_cookie(int fd) {
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static int handover_listen(Handover *handover, const HandoverAddress *address) {
        *handover = (Handover){ .address = *address };
        handover->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (handover->fd < 0 ||
            bind(handover->fd, (const struct sockaddr *)&address->name, address->length) < 0 ||
            listen(handover->fd, SOMAXCONN) < 0)
                return -errno;
        return 0;
}

int handover_init(Handover *handover) {
        /* Without a name, bind(2) chooses one. */
        const HandoverAddress any = { .name.sun_family = AF_UNIX, .length = sizeof(sa_family_t) };
        HandoverAddress *address = &handover->address;
        int r = handover_listen(handover, &any);

        if (r < 0)
                return r;
        address->length = sizeof address->name;
        if (getsockname(handover->fd, (struct sockaddr *)&address->name, &address->length) < 0)
                return -errno;
        return 0;
}

/* Forgets what was given at @index, whatever became of it; the last one takes its place. */
static void handover_drop(Handover *handover, size_t index) {
        close(handover->given[index].channel);
        if (handover->given[index].connection >= 0)
                close(handover->given[index].connection);
        if (handover->given[index].pending >= 0)
                close(handover->given[index].pending);
        handover->given[index] = handover->given[--handover->n];
}

void handover_deinit(Handover *handover) {
        while (handover->n > 0)
                handover_drop(handover, 0);
        if (handover->fd >= 0)
                close(handover->fd);
        handover->fd = -1;
}

static struct ucred channel_peer(int channel) {
        struct ucred peer = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
        socklen_t size = sizeof peer;

        (void)getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size);
        return peer;
}

/* Anybody may connect to an abstract socket, and make one. A handler, which has no @roster, knows
 * its like by the user. */
static bool is_trusted(int channel, Roster *roster) {
        const struct ucred peer = channel_peer(channel);

        return roster != NULL ? roster_find(roster, peer.pid) != ROSTER_NONE
                              : peer.uid == geteuid();
}

static void handover_accept(Handover *handover, Roster *roster) {
        while (handover->n < STORE_MOST) {
                int channel = accept4(handover->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (channel < 0)
                        return;
                if (!is_trusted(channel, roster)) {
                        close(channel);
                        continue;
                }
                handover->given[handover->n].channel = channel;
                handover->given[handover->n].connection = -1;
                handover->given[handover->n].pending = -1;
                handover->n++;
        }
}

/* A handler that was reaped before it gave its connection has had its record, the connection's end.
 */
static void handover_receive(Handover *handover, Roster *roster) {
        for (size_t i = handover->n; i-- > 0;) {
                int fds[2] = { -1, -1 }, r;

                if (handover->given[i].connection >= 0)
                        continue;
                r = passing_receive(handover->given[i].channel, fds, 2, 0);
                handover->given[i].connection = fds[0];
                handover->given[i].pending = fds[1];
                if ((r < 0 && r != -EAGAIN) || !is_trusted(handover->given[i].channel, roster))
                        handover_drop(handover, i);
        }
}

/* Several take no more of the store than one. */
static int handover_put(const char *name, const int *fds, size_t n) {
        int pack = n > 1 ? pack_new(fds, n) : -1;
        int r;

        if (n == 0)
                return 0;
        if (pack < 0)
                return store_put(name, fds, n);
        r = store_put(name, &pack, 1);
        close(pack);
        return r;
}

/* Returns whether systemd has all that was given. */
static bool handover_store(const Handover *handover) {
        int connections[STORE_MOST], pendings[STORE_MOST];
        size_t n_connections = 0, n_pendings = 0;

        for (size_t i = 0; i < handover->n; i++) {
                if (handover->given[i].connection >= 0)
                        connections[n_connections++] = handover->given[i].connection;
                if (handover->given[i].pending >= 0)
                        pendings[n_pendings++] = handover->given[i].pending;
        }
        if (n_connections == 0)
                return true;
        return handover_put(STORE_PENDING, pendings, n_pendings) == 0 &&
               handover_put(STORE_CONNECTION, connections, n_connections) == 0 &&
               store_barrier() == 0;
}

/* Answers those who have given. Returns how many. */
static size_t handover_answer(Handover *handover, Roster *roster, char answer) {
        size_t answered = 0;

        for (size_t i = handover->n; i-- > 0;) {
                const int channel = handover->given[i].channel;

                if (handover->given[i].connection < 0)
                        continue;
                if (answer == HANDOVER_STORED && roster != NULL)
                        roster_mark_stored(roster, roster_find(roster, channel_peer(channel).pid));
                (void)send(channel, &answer, sizeof answer, MSG_NOSIGNAL);
                handover_drop(handover, i);
                answered++;
        }
        return answered;
}

void handover_turn(Handover *handover, Roster *roster, bool stopping) {
        char answer;

        if (handover->fd < 0)
                return;
        do {
                handover_accept(handover, roster);
                handover_receive(handover, roster);
                answer = HANDOVER_DECLINED;
                if (stopping && handover_store(handover))
                        answer = HANDOVER_STORED;
        } while (handover_answer(handover, roster, answer) > 0 && stopping);
}

bool handover_waiting(const Handover *handover) {
        return handover->n > 0;
}

/* Sends @fds and waits for the answer. Returns 0 when they are stored, -ECANCELED when that is
 * declined; another negative errno when there is no answer. */
static int channel_ask(int channel, const int *fds, size_t n_fds) {
        char answer;
        ssize_t n;
        int r;

        r = passing_send(channel, NULL, "", 1, fds, n_fds, 0);
        if (r < 0)
                return r == -EPIPE ? -ECONNRESET : r;
        do
                n = recv(channel, &answer, sizeof answer, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 0 ? -ECONNRESET : answer == HANDOVER_STORED ? 0 : -ECANCELED;
}

/* Gives @fds to whoever listens. Returns what channel_ask() does; -ECONNREFUSED when nobody
 * listens. */
static int handover_ask(const HandoverAddress *address, const int *fds, size_t n_fds) {
        const struct timeval patience = { .tv_sec = HANDOVER_ANSWER_PATIENCE / CLOCK_SECOND };
        int channel, r;

        channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (channel < 0)
                return -errno;
        (void)setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(channel, (const struct sockaddr *)&address->name, address->length) < 0)
                r = -errno;
        else if (!is_trusted(channel, NULL))
                r = -EPERM;
        else
                r = channel_ask(channel, fds, n_fds);
        close(channel);
        return r;
}

/* Does what the master would, from its address, until no handler has come for a while; beginning
 * with @fds. Returns what handover_ask() does, or -EADDRINUSE when there is somebody already. */
static int handover_stand_in(const HandoverAddress *address, const int *fds, size_t n_fds) {
        Handover handover;
        struct pollfd polled = { .events = POLLIN };
        char answer;
        int own[2] = { -1, -1 }, quiet = 0, r;

        r = handover_listen(&handover, address);
        if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, own) < 0)
                r = -errno;
        if (r < 0) {
                handover_deinit(&handover);
                return r;
        }
        handover.given[handover.n].channel = own[0];
        handover.given[handover.n].connection = dup(fds[0]);
        handover.given[handover.n].pending = n_fds > 1 ? dup(fds[1]) : -1;
        handover.n++;
        polled.fd = handover.fd;
        /* Who has connected and gives nothing has to find somebody else. */
        while (quiet < (handover_waiting(&handover) ? HANDOVER_TURNS : 1)) {
                handover_turn(&handover, NULL, true);
                quiet = poll(&polled, 1, HANDOVER_PAUSE) > 0 ? 0 : quiet + 1;
        }
        handover_deinit(&handover);
        r = recv(own[1], &answer, sizeof answer, MSG_DONTWAIT) != 1 ? -ENOMEM
            : answer == HANDOVER_STORED                             ? 0
                                                                    : -ECANCELED;
        close(own[1]);
        return r;
}

/* Several handlers that find no master do not all speak to systemd, which would take as many times
 * longer: the first one speaks for the others. */
static int handover_pass(const HandoverAddress *address, const int *fds, size_t n_fds) {
        int r = -ECONNREFUSED;

        for (int turn = 0; turn < HANDOVER_TURNS; turn++) {
                r = handover_ask(address, fds, n_fds);
                if (r == -ECONNREFUSED)
                        r = handover_stand_in(address, fds, n_fds);
                if (r != -EADDRINUSE && r != -ECONNRESET)
                        break;
                (void)poll(NULL, 0, 1);
        }
        return r;
}

int handover_give(const HandoverAddress *master, int connection, const char *pending, size_t size) {
        int fds[2] = { connection, -1 };
        int r;

        if (size > 0) {
                fds[1] = pending_new(connection, pending, size);
                if (fds[1] < 0)
                        return fds[1];
        }
        r = handover_pass(master, fds, size > 0 ? 2 : 1);
        if (r < 0 && r != -ECANCELED) {
                r = size > 0 ? store_put(STORE_PENDING, &fds[1], 1) : 0;
                if (r == 0)
                        r = store_put(STORE_CONNECTION, &fds[0], 1);
                if (r == 0)
                        r = store_barrier();
        }
        if (size > 0)
                close(fds[1]);
        return r;
}
