/* SPDX-License-Identifier: MIT */
/*
 * The master's side of the handover. A master that stops collects connections from the channels of
 * its handlers into a bundle, sends the bundle to systemd, waits until systemd has it, and answers.
 *
 * A channel is a Unix connection, and the kernel attests who has opened it (SO_PEERCRED, unix(7)).
 *
 * All handlers have the master's user ID, and a peer may have taken one over. The master therefore
 * takes one channel from each handler, and another one after an announcement; it kills a handler
 * that opens more. It closes a channel that stays silent for a second, and takes a connection only
 * from the handler that serves it. After strangers it takes no channel for a second, unless it
 * stops. No handler can keep it busy, hand over another's connection, or put bytes into it.
 *
 * Where the service shares its network namespace, every local user can open a channel, and leave
 * the descriptor of a file in it. When its file system is a process, nothing ends close(2) before
 * it answers (FUSE_FLUSH). The master takes no message of a stranger, and a child closes that
 * channel (discard.h). A handler that a peer has taken over can send such a descriptor, if a client
 * passes it one.
 *
 * A handler can fill its connection and make it linger: the last close(2) would wait for its peer.
 * So a child closes all that came from handlers, also what was stored: systemd takes a message
 * without a word when its store is full. When this process has no descriptor left, the kernel
 * closes the rest of a message itself, and such a handler can delay the master.
 */
#include "restart/inbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/discard.h"
#include "lib/fdpass.h"
#include "lib/socket.h"
#include "restart/fdstore.h"

/* How long the master takes no channel after strangers: each of them would wake it up. */
#define STRANGER_PAUSE CLOCK_SECOND

/* Channels of one turn: it also ends when strangers open them all the time. */
#define CHANNELS_PER_TURN 4096

static_assert(sizeof(Address) <= FDPASS_DATA, "an announcement fits into a message");

int inbox_init(Inbox *inbox, uint64_t run, const InboxMaster *master) {
        struct epoll_event event = { .events = EPOLLIN };

        *inbox = (Inbox){ .fd = -1,
                          .socket = -1,
                          .address = { .master = getpid(), .run = run },
                          .master = *master,
                          .polling = true };
        inbox->socket = handover_listen(&inbox->address.inbox);
        if (inbox->socket < 0)
                return inbox->socket;
        inbox->fd = epoll_create1(EPOLL_CLOEXEC);
        if (inbox->fd < 0 || epoll_ctl(inbox->fd, EPOLL_CTL_ADD, inbox->socket, &event) < 0)
                return -errno;
        return 0;
}

/* Closes a channel and what came through it; the last channel takes its place. */
static void channel_drop(Inbox *inbox, size_t index) {
        InboxChannel *channel = &inbox->channels[index];

        /* A handler that keeps this end would keep the kernel polling it. */
        (void)epoll_ctl(inbox->fd, EPOLL_CTL_DEL, channel->fd, NULL);
        discard_add_channel(&inbox->discard, channel->fd);
        discard_add(&inbox->discard, channel->connection);
        discard_add(&inbox->discard, channel->unsent);
        *channel = inbox->channels[--inbox->n];
}

void inbox_deinit(Inbox *inbox) {
        pid_t handler;
        int fd;

        while (inbox->n > 0)
                channel_drop(inbox, 0);
        /* Nobody opens a channel any more. The last close(2) would close those that wait. */
        if (inbox->socket >= 0)
                (void)shutdown(inbox->socket, SHUT_RD);
        while (inbox->socket >= 0 && (fd = handover_accept(inbox->socket, &handler)) >= 0)
                discard_add_channel(&inbox->discard, fd);
        discard_close(&inbox->discard);
        inbox->socket = descriptor_close(inbox->socket);
        inbox->fd = descriptor_close(inbox->fd);
}

/* Waits for new channels, or stops that: those that the master does not take yet would keep it
 * awake. */
static void inbox_set_polling(Inbox *inbox, bool polling) {
        struct epoll_event event = { .events = polling ? EPOLLIN : 0 };

        if (inbox->polling != polling &&
            epoll_ctl(inbox->fd, EPOLL_CTL_MOD, inbox->socket, &event) == 0)
                inbox->polling = polling;
}

/* Welcomes a channel of the process @handler. Returns 0, or a negative errno when the kernel does
 * not poll it. */
static int channel_add(Inbox *inbox, int fd, pid_t handler, uint64_t now) {
        InboxChannel *channel = &inbox->channels[inbox->n];
        struct epoll_event event = { .events = EPOLLIN };

        if (epoll_ctl(inbox->fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;
        *channel = (InboxChannel){ .fd = fd,
                                   .handler = handler,
                                   .deadline = now + HANDOVER_CHANNEL_PATIENCE,
                                   .connection = -1,
                                   .unsent = -1 };
        inbox->n++;
        handover_welcome(fd);
        return 0;
}

/* Takes the next channel. Returns 0; -EAGAIN without one; -EPERM when the master kills the handler
 * that has opened it, -ESRCH when a stranger has, or another negative errno when resources ran out.
 */
static int channel_take(Inbox *inbox, uint64_t now) {
        const InboxMaster *master = &inbox->master;
        pid_t handler;
        int fd, r;

        fd = handover_accept(inbox->socket, &handler);
        if (fd < 0)
                return fd;
        r = handler > 0 ? master->admit(master->data, handler) : -ESRCH;
        if (r == 0)
                r = channel_add(inbox, fd, handler, now);
        if (r < 0)
                discard_add_channel(&inbox->discard, fd);
        return r;
}

static bool inbox_takes(const Inbox *inbox, uint64_t now) {
        return inbox->n < INBOX_MOST && inbox->pause_until <= now;
}

/* Takes all channels that wait. With a pause after each stranger, handlers behind them would give
 * up, and leave channels of strangers themselves. A handler that the master kills opens no more. */
static void inbox_take_channels(Inbox *inbox, bool stopping, uint64_t now) {
        uint64_t pause = 0;
        int r = 0;

        for (int i = 0; i < CHANNELS_PER_TURN && inbox_takes(inbox, now); i++) {
                r = channel_take(inbox, now);
                if (r == 0)
                        inbox->lack = 0;
                /* No pause during a stop, as handlers wait for answers. */
                if (r == -ESRCH && !stopping)
                        pause = STRANGER_PAUSE;
                else if (r < 0 && r != -ESRCH && r != -EPERM)
                        break;
        }
        /* The channel that lacks resources still waits. While the service stops, handlers cannot
         * wait for long. */
        if (r < 0 && r != -ESRCH && r != -EPERM && r != -EAGAIN && pause == 0)
                pause = inbox->lack = clock_pause(stopping ? 0 : inbox->lack);
        if (pause > 0)
                inbox->pause_until = now + pause;
}

/* Answers a message without descriptors if it is an announcement. */
static void channel_announce(const InboxMaster *master, const InboxChannel *channel,
                             const FdpassNote *note, uint64_t now) {
        Address announced;

        if (note->size != sizeof announced || !master->awaits(master->data, channel->handler))
                return;
        memcpy(&announced, note->data, sizeof announced);
        handover_answer(channel->fd,
                        master->announce(master->data, channel->handler, &announced, now)
                                        ? HANDOVER_SERVED
                                        : HANDOVER_DECLINED);
}

/* Receives from a channel. Returns whether the channel stays. */
static bool channel_receive(Inbox *inbox, InboxChannel *channel, uint64_t now) {
        const InboxMaster *master = &inbox->master;
        int fds[FDPASS_MOST], n;
        FdpassNote note = {};

        /* With room for all that a message can carry: the kernel would close the rest, and wait. */
        n = fdpass_receive(channel->fd, &note, fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return now < channel->deadline;
        if (n == 0)
                channel_announce(master, channel, &note, now);
        if (n <= 0)
                return false;
        if (handover_is_gift(fds, n) &&
            master->serves(master->data, channel->handler, socket_cookie(fds[0]))) {
                channel->connection = fds[0];
                channel->unsent = n > 1 ? fds[1] : -1;
                return true;
        }
        for (int i = 0; i < n; i++)
                discard_add(&inbox->discard, fds[i]);
        return false;
}

static void inbox_receive(Inbox *inbox, uint64_t now) {
        for (size_t i = inbox->n; i-- > 0;)
                if (inbox->channels[i].connection < 0 &&
                    !channel_receive(inbox, &inbox->channels[i], now))
                        channel_drop(inbox, i);
}

/* Stores all connections given. Returns whether systemd has them. */
static bool inbox_store(const Inbox *inbox) {
        int fds[BUNDLE_MOST];
        size_t n = 0;

        for (size_t i = 0; i < inbox->n; i++) {
                if (inbox->channels[i].connection < 0)
                        continue;
                fds[n++] = inbox->channels[i].connection;
                if (inbox->channels[i].unsent >= 0)
                        fds[n++] = inbox->channels[i].unsent;
        }
        return n > 0 && fdstore_put_connections(fds, n, inbox->address.run, 0) == 0 &&
               fdstore_barrier() == 0;
}

/* Answers the handlers that have given their connections. When @answer is 0, it closes their
 * channels: they ask the keeper then. Returns how many. */
static size_t inbox_answer(Inbox *inbox, char answer) {
        const InboxMaster *master = &inbox->master;
        size_t answered = 0;

        for (size_t i = inbox->n; i-- > 0;) {
                InboxChannel *channel = &inbox->channels[i];

                if (channel->connection < 0)
                        continue;
                if (answer == HANDOVER_STORED)
                        master->note_stored(master->data, channel->handler);
                if (answer != 0)
                        handover_answer(channel->fd, answer);
                channel_drop(inbox, i);
                answered++;
        }
        return answered;
}

void inbox_take(Inbox *inbox, bool stopping, uint64_t now) {
        if (inbox->fd < 0)
                return;
        if (stopping)
                inbox->pause_until = clock_earlier(inbox->pause_until, now + clock_pause(0));
        if (inbox->pause_until <= now)
                inbox->pause_until = 0;
        inbox_take_channels(inbox, stopping, now);
        inbox_receive(inbox, now);
        discard_close(&inbox->discard);
}

void inbox_settle(Inbox *inbox, bool stopping, uint64_t now) {
        size_t answered;

        if (inbox->fd < 0)
                return;
        if (!stopping)
                (void)inbox_answer(inbox, HANDOVER_DECLINED);
        while (stopping) {
                answered = inbox_store(inbox) ? inbox_answer(inbox, HANDOVER_STORED)
                                              : inbox_answer(inbox, 0);
                if (answered == 0)
                        break;
                inbox_take(inbox, stopping, now);
        }
        discard_close(&inbox->discard);
        /* Now that closed channels have made room. */
        inbox_set_polling(inbox, inbox_takes(inbox, now));
}

uint64_t inbox_deadline(const Inbox *inbox) {
        uint64_t deadline = inbox->pause_until != 0 ? inbox->pause_until : CLOCK_NEVER;

        for (size_t i = 0; i < inbox->n; i++)
                deadline = clock_earlier(deadline, inbox->channels[i].deadline);
        return deadline;
}
