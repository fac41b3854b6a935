#include "handover.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "pack.h"

/* How long a handler waits for its master's answer before it takes it for hung. */
#define HANDOVER_ANSWER_PATIENCE (2 * CLOCK_SECOND)

/* The master's answers. */
static const char HANDOVER_STORED = 's';
static const char HANDOVER_DECLINED = 'd';

uint64_t socket_cookie(int fd) {
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

int handover_init(Handover *handover) {
        HandoverAddress *address = &handover->address;

        *handover = (Handover){ .fd = -1, .address.name.sun_family = AF_UNIX };
        handover->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (handover->fd < 0)
                return -errno;
        /* Without a name, bind(2) chooses one. */
        if (bind(handover->fd, (struct sockaddr *)&address->name, sizeof(sa_family_t)) < 0 ||
            listen(handover->fd, SOMAXCONN) < 0)
                return -errno;
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

/* Anybody may connect to an abstract socket: returns the handler's slot, or ROSTER_NONE. */
static uint32_t channel_slot(int channel, Roster *roster) {
        struct ucred credentials;
        socklen_t size = sizeof credentials;

        if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                return ROSTER_NONE;
        return roster_find(roster, credentials.pid);
}

static void handover_accept(Handover *handover, Roster *roster) {
        while (handover->n < STORE_MOST) {
                int channel = accept4(handover->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (channel < 0)
                        return;
                if (channel_slot(channel, roster) == ROSTER_NONE) {
                        close(channel);
                        continue;
                }
                handover->given[handover->n].channel = channel;
                handover->given[handover->n].connection = -1;
                handover->given[handover->n].pending = -1;
                handover->n++;
        }
}

/* Room for the control message with up to two descriptors; cmsg(3). */
typedef union Control {
        char room[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr alignment;
} Control;

/* Receives up to two descriptors; what is not received is -1. Returns a negative errno when there
 * is no message. */
static int channel_receive(int channel, int ret_fds[static 2]) {
        Control control;
        char byte;
        struct iovec data = { .iov_base = &byte, .iov_len = sizeof byte };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = sizeof control.room };
        struct cmsghdr *header;
        ssize_t n;

        ret_fds[0] = ret_fds[1] = -1;
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n <= 0)
                return n < 0 ? -errno : -ECONNRESET;
        header = CMSG_FIRSTHDR(&message);
        if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                return -EBADMSG;
        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
        return 0;
}

/* A handler that was reaped before it gave its connection has had its record, the connection's end.
 */
static void handover_receive(Handover *handover, Roster *roster) {
        for (size_t i = handover->n; i-- > 0;) {
                int fds[2], r;

                if (handover->given[i].connection >= 0)
                        continue;
                r = channel_receive(handover->given[i].channel, fds);
                handover->given[i].connection = fds[0];
                handover->given[i].pending = fds[1];
                if ((r < 0 && r != -EAGAIN && r != -EINTR) ||
                    channel_slot(handover->given[i].channel, roster) == ROSTER_NONE)
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
                if (handover->given[i].connection < 0)
                        continue;
                if (answer == HANDOVER_STORED)
                        roster_mark_stored(roster,
                                           channel_slot(handover->given[i].channel, roster));
                (void)send(handover->given[i].channel, &answer, sizeof answer, MSG_NOSIGNAL);
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

/* Returns a memfd with what is pending, or a negative errno. */
static int pending_new(int connection, const char *data, size_t size) {
        const uint64_t cookie = socket_cookie(connection);
        int fd, r = 0;

        fd = memfd_create(STORE_PENDING, MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (pwrite(fd, &cookie, sizeof cookie, 0) != sizeof cookie ||
            pwrite(fd, data, size, sizeof cookie) != (ssize_t)size)
                r = -ENOSPC;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

ssize_t handover_read_pending(int fd, char *buffer, size_t size, uint64_t *ret_cookie) {
        struct stat status;
        uint64_t cookie;
        ssize_t n;

        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof cookie ||
            (buffer != NULL && (uint64_t)status.st_size > sizeof cookie + size))
                return -EBADMSG;
        if (pread(fd, &cookie, sizeof cookie, 0) != sizeof cookie)
                return -EBADMSG;
        n = buffer != NULL ? pread(fd, buffer, size, sizeof cookie) : 0;
        if (n < 0)
                return -errno;
        *ret_cookie = cookie;
        return n;
}

/* Gives @fds to the master. Returns 0 when it has stored them, -ECANCELED when it declines; another
 * errno when there is no master any more. */
static int handover_ask(const HandoverAddress *master, const int *fds, size_t n_fds) {
        Control control = {};
        struct iovec data = { .iov_base = &(char){ 0 }, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &data,
                                  .msg_iovlen = 1,
                                  .msg_control = control.room,
                                  .msg_controllen = CMSG_SPACE(n_fds * sizeof(int)) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        const struct timeval patience = { .tv_sec = HANDOVER_ANSWER_PATIENCE / CLOCK_SECOND };
        char answer;
        ssize_t n = -1;
        int channel, r = -ECONNRESET;

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
        channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (channel < 0)
                return -errno;
        (void)setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(channel, (const struct sockaddr *)&master->name, master->length) == 0 &&
            sendmsg(channel, &message, MSG_NOSIGNAL) == 1)
                do
                        n = recv(channel, &answer, sizeof answer, 0);
                while (n < 0 && errno == EINTR);
        if (n == 1)
                r = answer == HANDOVER_STORED ? 0 : -ECANCELED;
        close(channel);
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
        r = handover_ask(master, fds, size > 0 ? 2 : 1);
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
