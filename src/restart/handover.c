/* SPDX-License-Identifier: MIT */
/*
 * Hands connections over. A handler that must stop connects to its master and sends one
 * message: its connection and, directly behind it, a memfd with the bytes that the peer has not
 * accepted. A master that stops collects such messages into a bundle, sends the bundle to systemd,
 * waits until systemd has it, and answers. So at any time some process holds the connection.
 *
 * A handler believes its own master alone, by the process ID that the kernel attests (SO_PEERCRED,
 * socket(7)): after the master's death another handler could listen at the same address. When there
 * is no such master, or it does not answer, the handler stores a bundle of its own. It must not
 * exit before systemd has that.
 *
 * All handlers have the master's user ID, and a peer may have taken one over. The master therefore
 * accepts one channel from each handler, closes a channel that stays silent for a second, takes a
 * connection only from the handler that serves it, and after a stranger does not accept for a
 * second. No handler can keep it busy, hand over another's connection, or put bytes into it. Where
 * the service shares its network namespace, every local user can be a stranger.
 *
 * A handler can fill its connection and make it linger (SO_LINGER, socket(7)): the last close(2)
 * would wait for its peer. So all that came from it is closed without that, in unread messages too.
 * When descriptors are used up, such a handler can still delay the master.
 *
 * The handler of a silent connection has one channel more, for one message without descriptors: the
 * peer that its PROXY header announces. The answer follows at once, also while the master stops.
 */
#include "restart/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "restart/fdstore.h"
#include "restart/unsent.h"

/* How long a handler waits for its master's answer before it takes the master for hung. */
#define ANSWER_PATIENCE (5 * CLOCK_SECOND)

/* How long the master waits for a handler that has opened a channel. */
#define CHANNEL_PATIENCE CLOCK_SECOND

/* How long the master does not accept after strangers: each of them would wake it up. */
#define STRANGER_PAUSE CLOCK_SECOND

static const char ANSWER_STORED = 's';
static const char ANSWER_SERVED = 'a';
static const char ANSWER_CLOSED = '\0';
static const char ANSWER_DECLINED = 'd';

static int handover_listen(Handover *handover) {
        HandoverAddress *address = &handover->address;
        /* Without a name, bind(2) chooses one. */
        const struct sockaddr_un any = { .sun_family = AF_UNIX };

        handover->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (handover->listener < 0)
                return -errno;
        if (bind(handover->listener, (const struct sockaddr *)&any, sizeof(sa_family_t)) < 0 ||
            listen(handover->listener, SOMAXCONN) < 0)
                return -errno;
        address->length = sizeof address->name;
        if (getsockname(handover->listener, (struct sockaddr *)&address->name, &address->length) <
            0)
                return -errno;
        return 0;
}

int handover_init(Handover *handover, uint64_t run, const HandoverMaster *master) {
        struct epoll_event event = { .events = EPOLLIN };
        int r;

        *handover = (Handover){ .fd = -1,
                                .listener = -1,
                                .address = { .master = getpid(), .run = run },
                                .master = *master,
                                .listening = true };
        r = handover_listen(handover);
        if (r < 0)
                return r;
        handover->fd = epoll_create1(EPOLL_CLOEXEC);
        if (handover->fd < 0 ||
            epoll_ctl(handover->fd, EPOLL_CTL_ADD, handover->listener, &event) < 0)
                return -errno;
        return 0;
}

/* Closes the end @fd of a channel, with the messages that nobody receives. */
static void channel_close(int fd) {
        fdpass_drain(fd);
        close(fd);
}

/* Closes a channel and what came through it; the last channel takes its place. */
static void channel_drop(Handover *handover, size_t index) {
        HandoverChannel *channel = &handover->channels[index];

        channel_close(channel->fd);
        fdpass_close(channel->connection);
        fdpass_close(channel->unsent);
        *channel = handover->channels[--handover->n];
}

void handover_deinit(Handover *handover) {
        while (handover->n > 0)
                channel_drop(handover, 0);
        fdpass_close(handover->listener);
        fdpass_close(handover->fd);
        handover->listener = handover->fd = -1;
}

/* Returns the process at the other end of a Unix socket; 0 for one of another user. */
static pid_t channel_peer(int fd) {
        struct ucred peer;
        socklen_t size = sizeof peer;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
                return 0;
        return peer.pid;
}

/* Polls the listener, or stops polling it: a readable listener would keep the master awake. */
static void handover_set_listening(Handover *handover, bool listening) {
        struct epoll_event event = { .events = listening ? EPOLLIN : 0 };

        if (handover->listening != listening &&
            epoll_ctl(handover->fd, EPOLL_CTL_MOD, handover->listener, &event) == 0)
                handover->listening = listening;
}

/* Adds a channel of the process @handler. Returns whether the kernel polls it. */
static bool channel_add(Handover *handover, int fd, pid_t handler, uint64_t now) {
        struct epoll_event event = { .events = EPOLLIN };

        if (epoll_ctl(handover->fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return false;
        handover->channels[handover->n++] = (HandoverChannel){ .fd = fd,
                                                               .handler = handler,
                                                               .deadline = now + CHANNEL_PATIENCE,
                                                               .connection = -1,
                                                               .unsent = -1 };
        return true;
}

static bool handover_accepts(const Handover *handover, uint64_t now) {
        return handover->n < HANDOVER_MOST && handover->pause_until <= now;
}

/* Accepts all who wait, at most as many as the queue holds: one killed handler can leave thousands
 * of channels in it. With a pause after each, handlers behind them would give up, and leave
 * channels of strangers themselves. */
static void handover_accept(Handover *handover, bool stopping, uint64_t now) {
        const HandoverMaster *master = &handover->master;
        bool pauses = false;

        for (int i = 0; i < SOMAXCONN && handover_accepts(handover, now); i++) {
                const int fd = accept4(handover->listener, NULL, NULL,
                                       SOCK_CLOEXEC | SOCK_NONBLOCK);
                pid_t handler;

                if (fd < 0) {
                        /* Without descriptors, the listener stays readable. */
                        pauses = errno != EAGAIN || pauses;
                        break;
                }
                handler = channel_peer(fd);
                if (handler != 0 && master->admit(master->data, handler) &&
                    channel_add(handover, fd, handler, now))
                        continue;
                channel_close(fd);
                pauses = true;
        }
        /* No pause during a stop, as handlers wait for answers. */
        if (pauses && !stopping)
                handover->pause_until = now + STRANGER_PAUSE;
}

/* Answers an announcement, if that is what waits in a channel. Returns whether it was. */
static bool channel_answer(const HandoverMaster *master, const HandoverChannel *channel,
                           uint64_t now) {
        const char *answer = &ANSWER_DECLINED;
        Address announced;

        if (!master->awaits(master->data, channel->handler) ||
            recv(channel->fd, &announced, sizeof announced, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) !=
                            sizeof announced)
                return false;
        /* A closed channel with an unread message would reset the handler's end. */
        (void)recv(channel->fd, &announced, sizeof announced, MSG_DONTWAIT);
        if (master->announce(master->data, channel->handler, &announced, now))
                answer = &ANSWER_SERVED;
        (void)send(channel->fd, answer, sizeof *answer, MSG_NOSIGNAL);
        return true;
}

/* Receives from a channel. Returns whether the channel stays. */
static bool channel_receive(const HandoverMaster *master, HandoverChannel *channel, uint64_t now) {
        int fds[FDPASS_MOST], r;

        if (channel_answer(master, channel, now))
                return false;
        /* The kernel would close those that have no room, and wait. */
        r = fdpass_receive(channel->fd, fds, FDPASS_MOST, 0);
        if (r == -EAGAIN)
                return now < channel->deadline;
        if (r < 0)
                return false;
        channel->connection = fds[0];
        channel->unsent = r > 1 ? fds[1] : -1;
        for (int i = 2; i < r; i++)
                fdpass_close(fds[i]);
        if (r > 2)
                return false;
        /* The next master would serve a connection in place of unsent bytes. */
        if (channel->unsent >= 0 && socket_is_stream(channel->unsent))
                return false;
        return master->serves(master->data, channel->handler, socket_cookie(channel->connection));
}

static void handover_receive(Handover *handover, uint64_t now) {
        for (size_t i = handover->n; i-- > 0;)
                if (handover->channels[i].connection < 0 &&
                    !channel_receive(&handover->master, &handover->channels[i], now))
                        channel_drop(handover, i);
}

/* Stores a bundle, of the master when @handler is 0. */
static int bundle_store(const int *fds, size_t n, uint64_t run, pid_t handler) {
        int bundle, r;

        bundle = bundle_new(fds, n);
        if (bundle < 0)
                return bundle;
        r = handler == 0 ? fdstore_put(FDSTORE_CONNECTION, run, bundle)
                         : fdstore_put_own(run, handler, bundle);
        if (r == 0)
                r = fdstore_barrier();
        close(bundle);
        return r;
}

/* Stores all connections given. Returns whether systemd has them. */
static bool handover_store(const Handover *handover) {
        int fds[BUNDLE_MOST];
        size_t n = 0;

        for (size_t i = 0; i < handover->n; i++) {
                if (handover->channels[i].connection < 0)
                        continue;
                fds[n++] = handover->channels[i].connection;
                if (handover->channels[i].unsent >= 0)
                        fds[n++] = handover->channels[i].unsent;
        }
        return n > 0 && bundle_store(fds, n, handover->address.run, 0) == 0;
}

/* Answers the handlers that have given their connections, or closes their channels when @answer
 * is 0: they store by themselves then. Returns how many. */
static size_t handover_answer(Handover *handover, char answer) {
        const HandoverMaster *master = &handover->master;
        size_t answered = 0;

        for (size_t i = handover->n; i-- > 0;) {
                const HandoverChannel *channel = &handover->channels[i];

                if (channel->connection < 0)
                        continue;
                if (answer == ANSWER_STORED)
                        master->note_stored(master->data, channel->handler);
                if (answer != 0)
                        (void)send(channel->fd, &answer, sizeof answer, MSG_NOSIGNAL);
                channel_drop(handover, i);
                answered++;
        }
        return answered;
}

bool handover_stores(const HandoverAddress *address) {
        return address->length > 0 && address->run > 0;
}

void handover_take(Handover *handover, bool stopping, uint64_t now) {
        if (handover->fd < 0)
                return;
        if (handover->pause_until <= now || stopping)
                handover->pause_until = 0;
        handover_accept(handover, stopping, now);
        handover_receive(handover, now);
}

void handover_settle(Handover *handover, bool stopping, uint64_t now) {
        size_t answered;

        if (handover->fd < 0)
                return;
        if (!stopping)
                (void)handover_answer(handover, ANSWER_DECLINED);
        while (stopping) {
                answered = handover_store(handover) ? handover_answer(handover, ANSWER_STORED)
                                                    : handover_answer(handover, ANSWER_CLOSED);
                if (answered == 0)
                        break;
                handover_take(handover, stopping, now);
        }
        /* Now that closed channels have made room. */
        handover_set_listening(handover, handover_accepts(handover, now));
}

uint64_t handover_deadline(const Handover *handover) {
        uint64_t deadline = handover->pause_until != 0 ? handover->pause_until : CLOCK_NEVER;

        for (size_t i = 0; i < handover->n; i++)
                deadline = clock_earlier(deadline, handover->channels[i].deadline);
        return deadline;
}

/* Sends @size bytes of @data with @fds and waits for the answer. Returns 0 when they are stored or
 * the peer is served, -ECANCELED when the master declines; another negative errno without an
 * answer. */
static int channel_ask(int channel, const void *data, size_t size, const int *fds, size_t n) {
        char answer;
        ssize_t answered;
        int r;

        r = fdpass_send(channel, NULL, data, size, fds, n, 0);
        if (r < 0)
                return r;
        do
                answered = recv(channel, &answer, sizeof answer, 0);
        while (answered < 0 && errno == EINTR);
        if (answered < 0)
                return -errno;
        if (answered == 0)
                return -ECONNRESET;
        return answer == ANSWER_STORED || answer == ANSWER_SERVED ? 0 : -ECANCELED;
}

/* Connects to the master. While its queue is full this blocks, and a second SIGTERM may come. */
static int channel_connect(int channel, const HandoverAddress *address) {
        while (connect(channel, (const struct sockaddr *)&address->name, address->length) < 0)
                if (errno != EINTR)
                        return -errno;
        return channel_peer(channel) == address->master ? 0 : -EPERM;
}

/* Opens a channel to the master and asks. Returns what channel_ask() does; -EPERM when another
 * process listens at its address. */
static int handover_ask(const HandoverAddress *address, const void *data, size_t size,
                        const int *fds, size_t n) {
        int channel, r;

        channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (channel < 0)
                return -errno;
        socket_set_timeout(channel, SO_RCVTIMEO, ANSWER_PATIENCE);
        socket_set_timeout(channel, SO_SNDTIMEO, ANSWER_PATIENCE);
        r = channel_connect(channel, address);
        if (r == 0)
                r = channel_ask(channel, data, size, fds, n);
        close(channel);
        return r;
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
        }
        r = handover_ask(address, "", 1, fds, n);
        if (r < 0 && r != -ECANCELED)
                r = bundle_store(fds, n, address->run, getpid());
        fdpass_close(fds[1]);
        return r;
}

int handover_announce(const HandoverAddress *address, const Address *peer) {
        return handover_ask(address, peer, sizeof *peer, NULL, 0);
}
