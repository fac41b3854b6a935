/* SPDX-License-Identifier: MIT */
/*
 * Hands connections over. A handler that must stop opens a channel to its master and sends one
 * message: its connection and, directly behind it, a memfd with the bytes that the peer has not
 * accepted. A master that stops collects such messages into a bundle, sends the bundle to systemd,
 * waits until systemd has it, and answers. So at any time some process holds the connection.
 *
 * A channel is a socket pair of the handler, which sends one end to the master's inbox. With
 * connect(2) a handler that a peer has taken over could leave the sandbox by its own connection, so
 * handlers are denied it (confine.h). The kernel attests the sender of each message
 * (SCM_CREDENTIALS, unix(7)). The master learns by the first one whose channel it is, and welcomes
 * it. A handler believes that of its own master alone: after the master's death another process
 * could have its address. When there is no such master, or it does not answer, the handler stores a
 * bundle of its own. It must not exit before systemd has that.
 *
 * All handlers have the master's user ID, and a peer may have taken one over. The master therefore
 * takes one channel from each handler and kills one that sends more, closes a channel that stays
 * silent for a second, takes a connection only from the handler that serves it, and after a
 * stranger takes no channel for a second. No handler can keep it busy, hand over another's
 * connection, or put bytes into it. Where the service shares its network namespace, every local
 * user can be a stranger.
 *
 * A handler can fill its connection and make it linger (SO_LINGER, socket(7)): the last close(2)
 * would wait for its peer. So all that came from it is closed without that, in unread messages too,
 * however deep. When descriptors are used up, such a handler can still delay the master.
 *
 * The handler of a silent connection has one channel more, for one message without descriptors: the
 * peer that its PROXY header announces. The answer follows at once, also while the master stops.
 */
#include "restart/handover.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
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

/* How long the master takes no channel after strangers: each of them would wake it up. */
#define STRANGER_PAUSE CLOCK_SECOND

/* Channels of one turn: it also ends when strangers open them all the time. */
#define CHANNELS_PER_TURN 4096

static_assert(sizeof(Address) <= FDPASS_DATA, "an announcement fits into a message");

static const char ANSWER_WELCOME = 'w';
static const char ANSWER_STORED = 's';
static const char ANSWER_SERVED = 'a';
static const char ANSWER_CLOSED = '\0';
static const char ANSWER_DECLINED = 'd';

static int inbox_open(Handover *handover) {
        /* Without a name, bind(2) chooses one. */
        const struct sockaddr any = { .sa_family = AF_UNIX };

        handover->inbox = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (handover->inbox < 0 ||
            setsockopt(handover->inbox, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0 ||
            bind(handover->inbox, &any, sizeof(sa_family_t)) < 0)
                return -errno;
        return endpoint_from_socket(handover->inbox, &handover->address.inbox);
}

int handover_init(Handover *handover, uint64_t run, const HandoverMaster *master) {
        struct epoll_event event = { .events = EPOLLIN };
        int r;

        *handover = (Handover){ .fd = -1,
                                .inbox = -1,
                                .address = { .master = getpid(), .run = run },
                                .master = *master,
                                .polling = true };
        r = inbox_open(handover);
        if (r < 0)
                return r;
        handover->fd = epoll_create1(EPOLL_CLOEXEC);
        if (handover->fd < 0 || epoll_ctl(handover->fd, EPOLL_CTL_ADD, handover->inbox, &event) < 0)
                return -errno;
        return 0;
}

/* Closes a channel and what came through it; the last channel takes its place. */
static void channel_drop(Handover *handover, size_t index) {
        HandoverChannel *channel = &handover->channels[index];

        /* A handler that keeps this end would keep the kernel polling it. */
        (void)epoll_ctl(handover->fd, EPOLL_CTL_DEL, channel->fd, NULL);
        fdpass_discard(channel->fd);
        fdpass_close(channel->connection);
        fdpass_close(channel->unsent);
        *channel = handover->channels[--handover->n];
}

void handover_deinit(Handover *handover) {
        while (handover->n > 0)
                channel_drop(handover, 0);
        if (handover->inbox >= 0)
                fdpass_discard(handover->inbox);
        if (handover->fd >= 0)
                close(handover->fd);
        handover->inbox = handover->fd = -1;
}

/* Polls the inbox, or stops polling it: a readable inbox would keep the master awake. */
static void handover_set_polling(Handover *handover, bool polling) {
        struct epoll_event event = { .events = polling ? EPOLLIN : 0 };

        if (handover->polling != polling &&
            epoll_ctl(handover->fd, EPOLL_CTL_MOD, handover->inbox, &event) == 0)
                handover->polling = polling;
}

/* Welcomes a channel of the process @handler. Returns 0, or a negative errno when the kernel does
 * not poll it. */
static int channel_add(Handover *handover, int fd, pid_t handler, uint64_t now) {
        struct epoll_event event = { .events = EPOLLIN };

        if (epoll_ctl(handover->fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;
        (void)send(fd, &ANSWER_WELCOME, sizeof ANSWER_WELCOME, MSG_DONTWAIT | MSG_NOSIGNAL);
        handover->channels[handover->n++] = (HandoverChannel){ .fd = fd,
                                                               .handler = handler,
                                                               .deadline = now + CHANNEL_PATIENCE,
                                                               .connection = -1,
                                                               .unsent = -1 };
        return 0;
}

/* Takes the channel that is in the inbox. Returns 0; -EAGAIN without one; -EPERM when the master
 * kills the handler that sent the message, or another negative errno when a stranger sent it or
 * resources ran out. */
static int inbox_take(Handover *handover, uint64_t now) {
        const HandoverMaster *master = &handover->master;
        int fds[FDPASS_MOST], n, r = -ESRCH;
        FdpassNote note = {};

        n = fdpass_receive(handover->inbox, &note, fds, MSG_DONTWAIT);
        if (n < 0)
                return n;
        if (note.sender > 0)
                r = master->admit(master->data, note.sender, n == 1 && socket_is_channel(fds[0]));
        if (r == 0)
                r = channel_add(handover, fds[0], note.sender, now);
        if (r == 0)
                return 0;
        for (int i = 0; i < n; i++)
                fdpass_discard(fds[i]);
        return r;
}

static bool handover_takes(const Handover *handover, uint64_t now) {
        return handover->n < HANDOVER_MOST && handover->pause_until <= now;
}

/* Takes all channels that wait. With a pause after each stranger, handlers behind them would give
 * up, and leave channels of strangers themselves. A handler that the master kills sends no more. */
static void inbox_take_all(Handover *handover, bool stopping, uint64_t now) {
        bool pauses = false;
        int r = 0;

        for (int i = 0; i < CHANNELS_PER_TURN && r != -EAGAIN && handover_takes(handover, now);
             i++) {
                r = inbox_take(handover, now);
                pauses = pauses || (r < 0 && r != -EAGAIN && r != -EPERM);
        }
        /* No pause during a stop, as handlers wait for answers. */
        if (pauses && !stopping)
                handover->pause_until = now + STRANGER_PAUSE;
}

/* Answers the handler at the other end of a channel, which can have filled it. */
static void channel_answer(const HandoverChannel *channel, const char *answer) {
        (void)send(channel->fd, answer, sizeof *answer, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Answers a message without descriptors if it is an announcement. */
static void channel_announce(const HandoverMaster *master, const HandoverChannel *channel,
                             const FdpassNote *note, uint64_t now) {
        Address announced;

        if (note->size != sizeof announced || !master->awaits(master->data, channel->handler))
                return;
        memcpy(&announced, note->data, sizeof announced);
        channel_answer(channel, master->announce(master->data, channel->handler, &announced, now)
                                                ? &ANSWER_SERVED
                                                : &ANSWER_DECLINED);
}

/* Returns whether the @n descriptors are the connection of the handler, and unsent bytes. The next
 * master would serve a connection in place of these. */
static bool channel_accepts(const HandoverMaster *master, const HandoverChannel *channel,
                            const int *fds, int n) {
        return socket_is_stream(fds[0]) && (n == 1 || unsent_is_file(fds[1])) &&
               master->serves(master->data, channel->handler, socket_cookie(fds[0]));
}

/* Receives from a channel. Returns whether the channel stays. */
static bool channel_receive(const HandoverMaster *master, HandoverChannel *channel, uint64_t now) {
        int fds[FDPASS_MOST], n;
        FdpassNote note = {};

        /* The kernel would close those that have no room, and wait. */
        n = fdpass_receive(channel->fd, &note, fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return now < channel->deadline;
        if (n == 0)
                channel_announce(master, channel, &note, now);
        if (n <= 0)
                return false;
        if (n <= 2 && channel_accepts(master, channel, fds, n)) {
                channel->connection = fds[0];
                channel->unsent = n > 1 ? fds[1] : -1;
                return true;
        }
        for (int i = 0; i < n; i++)
                fdpass_discard(fds[i]);
        return false;
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

/* Answers the handlers that have given their connections, or closes their channels
 * with ANSWER_CLOSED: they store by themselves then. Returns how many. */
static size_t handover_answer(Handover *handover, char answer) {
        const HandoverMaster *master = &handover->master;
        size_t answered = 0;

        for (size_t i = handover->n; i-- > 0;) {
                const HandoverChannel *channel = &handover->channels[i];

                if (channel->connection < 0)
                        continue;
                if (answer == ANSWER_STORED)
                        master->note_stored(master->data, channel->handler);
                if (answer != ANSWER_CLOSED)
                        channel_answer(channel, &answer);
                channel_drop(handover, i);
                answered++;
        }
        return answered;
}

bool handover_stores(const HandoverAddress *address) {
        return address->inbox.length > 0 && address->run > 0;
}

void handover_take(Handover *handover, bool stopping, uint64_t now) {
        if (handover->fd < 0)
                return;
        if (handover->pause_until <= now || stopping)
                handover->pause_until = 0;
        inbox_take_all(handover, stopping, now);
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
        handover_set_polling(handover, handover_takes(handover, now));
}

uint64_t handover_deadline(const Handover *handover) {
        uint64_t deadline = handover->pause_until != 0 ? handover->pause_until : CLOCK_NEVER;

        for (size_t i = 0; i < handover->n; i++)
                deadline = clock_earlier(deadline, handover->channels[i].deadline);
        return deadline;
}

/* Sends one end of a channel to the master. While its inbox is full this blocks, and a second
 * SIGTERM may come. */
static int inbox_send(const HandoverAddress *address, int end) {
        int fd, r;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        socket_set_timeout(fd, SO_SNDTIMEO, ANSWER_PATIENCE);
        r = fdpass_send(fd, &address->inbox, "", 1, &end, 1, 0);
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
                fdpass_close(fds[i]);
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
        if (r == ANSWER_WELCOME)
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
        return r == ANSWER_STORED || r == ANSWER_SERVED ? 0 : -ECANCELED;
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
