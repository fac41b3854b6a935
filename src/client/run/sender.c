/* SPDX-License-Identifier: MIT */
/*
 * Sends the bytes of a source, in a process of its own.
 *
 * Sending and receiving at once over blocking descriptors takes two processes: a source may block,
 * and so may send(2). The sender publishes the number of sent bytes, and of those in the current
 * send(2), in a page of shared memory. The end of a pipe announces its end. However it ends, it
 * half-closes the connection, so that the peer and the receiver end too.
 *
 * An early end is delicate. A sender that waits for its source can be killed. A sender in send(2)
 * must not be: it may hold the connection's only error. sender_stop() wakes it up and lets it end
 * by itself.
 */
#include "client/run/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "lib/mapping.h"

enum {
        /* Four times what the receiver takes at once: where both share a processor, they take turns
         * less often. Half of it costs a check a sixth of its rate there. */
        SENDER_BUFFER_SIZE = 512 * 1024,
        /* The most that the kernel may have taken and that is not counted yet, while it waits for
         * the peer: send(2) counts nothing before it returns. */
        SENDER_WAIT_SIZE = 4 * 1024,
};

/*
 * The activity of the sender. While it reads its source it may be killed at any moment. While it
 * sends it may hold an error of the connection that no other process will see, and ends by itself.
 * sender_stop() first sets @stopping and then reads the state; the sender first sets its state and
 * then reads @stopping: at least one of the two notices the other.
 */
typedef enum SenderState {
        SENDER_STATE_TAKING,
        SENDER_STATE_SENDING,
        SENDER_STATE_ENDING,
} SenderState;

struct SenderPage {
        atomic_uint_fast64_t bytes;
        atomic_uint_fast64_t begun;
        atomic_uint_fast64_t last_sent;
        atomic_int state;
        atomic_int error;
        atomic_bool stopping;
};

/* Sends as many bytes as the kernel takes at once, or waits and sends a few. */
static ssize_t sender_send_some(int fd, const char *data, size_t size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0 || errno != EAGAIN)
                return n;
        return send(fd, data, size < SENDER_WAIT_SIZE ? size : SENDER_WAIT_SIZE, MSG_NOSIGNAL);
}

static int sender_send(int fd, SenderPage *page, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = sender_send_some(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                page->bytes += (uint64_t)n;
                page->last_sent = clock_now();
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

static SenderEnd sender_run(int fd, SenderPage *page, const Source *source) {
        static char buffer[SENDER_BUFFER_SIZE];

        for (;;) {
                ssize_t n;
                int r;

                page->state = SENDER_STATE_TAKING;
                /* Where the receiver has the same processor: it takes what is in a cache. */
                sched_yield();
                if (page->stopping)
                        return SENDER_STOPPED;
                n = source->fill(source->userdata, buffer, sizeof buffer);
                if (n == 0)
                        return SENDER_FINISHED;
                if (n < 0) {
                        page->error = (int)-n;
                        return SENDER_SOURCE_FAILED;
                }
                page->state = SENDER_STATE_SENDING;
                if (page->stopping)
                        return SENDER_STOPPED;
                page->begun += (uint64_t)n;
                r = sender_send(fd, page, buffer, (size_t)n);
                if (r < 0) {
                        page->error = -r;
                        return SENDER_CONNECTION_FAILED;
                }
        }
}

static _Noreturn void sender_main(pid_t parent, int fd, SenderPage *page, const Source *source) {
        SenderEnd end;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(SENDER_STOPPED);
        inquiry_ignore();
        end = sender_run(fd, page, source);
        /* Before the shutdown: a process that sees the peer's answer to it must see this state. */
        page->state = SENDER_STATE_ENDING;
        shutdown(fd, SHUT_WR);
        _exit((int)end);
}

int sender_start(Sender *ret_sender, int fd, const Source *source) {
        Sender sender = { .fd = fd };
        pid_t parent = getpid();
        int ended[2], r;

        sender.page = mapping_new_shared(sizeof *sender.page);
        if (sender.page == NULL)
                return -errno;
        if (pipe2(ended, O_CLOEXEC) < 0) {
                r = -errno;
                mapping_free(sender.page, sizeof *sender.page);
                return r;
        }
        sender.pid = fork();
        if (sender.pid == 0) {
                close(ended[0]);
                sender_main(parent, fd, sender.page, source);
        }
        r = sender.pid < 0 ? -errno : 0;
        close(ended[1]);
        if (r < 0) {
                close(ended[0]);
                mapping_free(sender.page, sizeof *sender.page);
                return r;
        }
        sender.ended = ended[0];
        *ret_sender = sender;
        return 0;
}

uint64_t sender_bytes(const Sender *sender) {
        return sender->page->bytes;
}

uint64_t sender_begun(const Sender *sender) {
        return sender->page->begun;
}

uint64_t sender_last_sent(const Sender *sender) {
        return sender->page->last_sent;
}

static void sender_reap(Sender *sender) {
        int status = 0;

        while (waitpid(sender->pid, &status, 0) < 0 && errno == EINTR)
                ;
        sender->pid = 0;
        if (WIFSIGNALED(status)) {
                sender->end = SENDER_KILLED;
                sender->error = WTERMSIG(status);
        } else {
                sender->end = (SenderEnd)WEXITSTATUS(status);
                sender->error = sender->page->error;
        }
}

void sender_stop(Sender *sender) {
        struct pollfd ended = { .fd = sender->ended, .events = POLLIN };
        bool killed = false;

        sender->page->stopping = true;
        /* Wakes a send(2) that waits for the peer: it fails with EPIPE. */
        shutdown(sender->fd, SHUT_WR);
        if (sender->page->state == SENDER_STATE_TAKING && poll(&ended, 1, 0) == 0) {
                kill(sender->pid, SIGKILL);
                killed = true;
        }
        sender_reap(sender);
        if (killed && sender->end == SENDER_KILLED && sender->error == SIGKILL)
                sender->end = SENDER_STOPPED;
}

void sender_deinit(Sender *sender) {
        close(sender->ended);
        sender->page = mapping_free(sender->page, sizeof *sender->page);
}
