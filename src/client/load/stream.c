/* SPDX-License-Identifier: MIT */
/*
 * Runs the streams of one worker, and compares every received byte: the receiving half.
 *
 * Two processes share the connections: the child sends (stream_sender.c), this one receives. Both
 * have the same reel of bytes, and the child notes in the page what it has sent.
 *
 * A connection that fails counts as one error and is not replaced. At the end of the duration the
 * sender half-closes all connections, and the receiver goes on until each has ended or its timeout
 * is over. The timeout counts while the peer owes bytes, or its end after the sender's.
 *
 * It must store nothing of a stream. A sender that dies ends the work, and must show in the report.
 */
#include "client/load/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/load/crew.h"
#include "client/load/reel.h"
#include "client/load/stream_sender.h"
#include "lib/clock.h"
#include "lib/socket.h"

enum {
        STREAM_EVENTS = 64,
        /* As much as the service sends at once. */
        STREAM_BUFFER_SIZE = 256 * 1024,
        STREAM_TICK_MILLISECONDS = 50,
        /* The reads of what came before an interrupt: more than the kernel queues for a socket. */
        STREAM_LAST_READS = 64,
};

/* One connection as the receiver sees it. */
typedef struct StreamLine {
        uint64_t received;
        /* Whether the peer owed something at the last tick. */
        bool owed;
        /* The instant of the last received bytes, or of the first tick at which the peer owes
         * others. */
        uint64_t last;
} StreamLine;

typedef struct Stream {
        const LoadPlan *plan;
        LoadPage *page;
        /* The descriptors of the connections, below 0 for those that have ended, which @live does
         * not count. */
        int *fds;
        StreamLine *lines;
        size_t live;
        uint64_t start;
        uint64_t end;
        pid_t sender;
        int epoll;
        Reel reel;
        uint8_t buffer[STREAM_BUFFER_SIZE];
} Stream;

/* Ends a connection, with an error unless @kind is FAILURE_NONE. */
static void stream_end_line(Stream *stream, size_t i, FailureKind kind) {
        const int fd = stream->fds[i];

        kernel_note(&stream->page->kernel, fd);
        if (kind != FAILURE_NONE)
                stream->page->errors[kind]++;
        /* The sender has a descriptor of its own and must stop; closing this one would not end the
         * events. */
        shutdown(fd, SHUT_RDWR);
        (void)epoll_ctl(stream->epoll, EPOLL_CTL_DEL, fd, NULL);
        close(fd);
        stream->fds[i] = -1;
        stream->live--;
}

/* Returns whether connection @i has received more than was sent. The pattern repeats, so these may
 * be the right bytes. */
static bool stream_is_ahead(const Stream *stream, size_t i) {
        return stream->lines[i].received > stream->page->sent[i].begun;
}

/* Judges the peer's end of connection @i. */
static FailureKind stream_judge(const Stream *stream, size_t i) {
        uint64_t received = stream->lines[i].received, sent = stream->page->sent[i].bytes;
        const int error = stream->page->sent[i].error;

        /* The kernel reports an error once, maybe to the sender. */
        if (error != 0)
                return failure_kind_from_errno(error);
        if (clock_now() < stream->end && !stream->page->stop)
                return FAILURE_CLOSED;
        if (received == sent)
                return FAILURE_NONE;
        return received < sent ? FAILURE_MISSING : FAILURE_DIFFERS;
}

static void stream_receive(Stream *stream, size_t i) {
        StreamLine *line = &stream->lines[i];
        ssize_t n = recv(stream->fds[i], stream->buffer, sizeof stream->buffer, MSG_DONTWAIT);
        int error = n < 0 ? errno : 0;
        size_t size;
        bool right;

        if (error == EAGAIN || error == EINTR)
                return;
        if (n < 0) {
                stream_end_line(stream, i, failure_kind_from_errno(error));
        } else if (n > 0) {
                stream->page->bytes_received += (uint64_t)n;
                line->last = clock_now();
                right = reel_equals(&stream->reel, i, line->received, stream->buffer, (size_t)n);
                if (!right && line->received == 0)
                        (void)foreign_describe(stream->buffer,
                                               reel_piece(&stream->reel, i, 0, (size_t)n, &size),
                                               (size_t)n, stream->page->foreign);
                line->received += (uint64_t)n;
                if (!right || stream_is_ahead(stream, i))
                        stream_end_line(stream, i, FAILURE_DIFFERS);
        } else {
                stream_end_line(stream, i, stream_judge(stream, i));
        }
}

/* Returns whether the sender has died, which it cannot report, and sets @ret_ended to how. */
static bool stream_lacks_sender(const Stream *stream, siginfo_t *ret_ended) {
        *ret_ended = (siginfo_t){};
        return waitid(P_PID, (id_t)stream->sender, ret_ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               ret_ended->si_pid != 0 &&
               (ret_ended->si_code != CLD_EXITED || ret_ended->si_status != 0);
}

/* Returns the error with which the sender ended too early, and notes a signal in the page. */
static int stream_judge_sender(const Stream *stream) {
        siginfo_t ended;

        if (!stream_lacks_sender(stream, &ended))
                return 0;
        if (ended.si_code == CLD_EXITED)
                return -ended.si_status;
        stream->page->sender_signal = ended.si_status;
        return 0;
}

static void stream_tick(Stream *stream) {
        uint64_t timeout = stream->plan->options->timeout, now = clock_now();

        for (size_t i = 0; i < stream->plan->connections && timeout > 0; i++) {
                StreamLine *line = &stream->lines[i];
                uint64_t sent = stream->page->sent[i].bytes;
                const bool owed_before = line->owed;

                line->owed = stream->page->sent_all || sent > line->received;
                if (!line->owed || !owed_before)
                        line->last = now;
                /* Bytes that arrived while this process waited for a processor arrived before the
                 * timeout. */
                if (stream->fds[i] < 0 || now - line->last < timeout ||
                    socket_is_readable(stream->fds[i]))
                        continue;
                if (stream->page->sent_all && sent == line->received)
                        stream->page->unclosed++;
                stream_end_line(stream, i, FAILURE_TIMEOUT);
        }
}

/* Returns the milliseconds to the next tick, or to the end of the duration, the instant of the
 * rates. */
static int stream_wait(const Stream *stream, uint64_t now) {
        int left = clock_timeout(now, stream->end);

        return now < stream->end && left < STREAM_TICK_MILLISECONDS ? left
                                                                    : STREAM_TICK_MILLISECONDS;
}

/* Takes what came before the interrupt: this process may have had no processor. */
static void stream_drain(Stream *stream) {
        for (size_t i = 0; i < stream->plan->connections; i++) {
                const int *fd = &stream->fds[i];

                for (int reads = 0; reads < STREAM_LAST_READS && *fd >= 0; reads++) {
                        if (!socket_is_readable(*fd))
                                break;
                        stream_receive(stream, i);
                }
        }
}

static int stream_receive_all(Stream *stream) {
        struct epoll_event events[STREAM_EVENTS];
        uint64_t now = stream->start;
        bool alone = false;
        siginfo_t ended;

        stream->epoll = crew_watch(stream->plan, stream->fds, EPOLLIN);
        if (stream->epoll < 0)
                return stream->epoll;
        while (stream->live > 0 && !stream->page->stop && !alone) {
                int n = epoll_wait(stream->epoll, events, STREAM_EVENTS, stream_wait(stream, now));

                for (int i = 0; i < n; i++)
                        stream_receive(stream, events[i].data.u64);
                now = clock_now();
                if (now >= stream->end)
                        crew_close_window(stream->plan, now - stream->start);
                /* What the sender had sent comes before the ticks. */
                alone = n == 0 && stream_lacks_sender(stream, &ended);
                stream_tick(stream);
        }
        crew_close_window(stream->plan, now - stream->start);
        stream->page->elapsed = now - stream->start;
        if (stream->page->stop)
                stream_drain(stream);
        close(stream->epoll);
        return 0;
}

static int stream_exchange(Stream *stream) {
        pid_t parent = getpid();
        int r = 0;

        stream->sender = fork();
        if (stream->sender < 0)
                return -errno;
        if (stream->sender == 0)
                stream_sender_run(stream->plan, stream->fds, &stream->reel, parent);
        stream->start = crew_start(stream->plan);
        stream->end = stream->start + stream->plan->options->duration;
        if (stream->start != 0) {
                for (size_t i = 0; i < stream->plan->connections; i++)
                        stream->lines[i].last = stream->start;
                r = stream_receive_all(stream);
                r = r < 0 ? r : stream_judge_sender(stream);
        }
        /* It ends soon by itself: killed, it might not have counted the bytes that it has sent. */
        stream->page->stop = true;
        while (waitpid(stream->sender, NULL, 0) < 0 && errno == EINTR)
                ;
        return r;
}

int stream_run(const LoadPlan *plan) {
        Stream *stream = calloc(1, sizeof *stream);
        int r = -ENOMEM;

        if (stream == NULL)
                return r;
        stream->plan = plan;
        stream->page = plan->page;
        stream->fds = calloc(plan->connections, sizeof *stream->fds);
        stream->lines = calloc(plan->connections, sizeof *stream->lines);
        if (stream->fds != NULL && stream->lines != NULL) {
                reel_init(&stream->reel);
                crew_connect(plan, stream->fds);
                stream->live = crew_live(plan, stream->fds);
                r = stream_exchange(stream);
        }
        free(stream->lines);
        free(stream->fds);
        free(stream);
        return r;
}
