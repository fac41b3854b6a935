/* SPDX-License-Identifier: MIT */
/*
 * Keeps the connections of one worker full in both directions, and compares every received byte.
 *
 * Two processes share the connections: the child sends, this one receives. Both have the pattern, a
 * prime number of bytes, sent over and over again. Each turn begins at another place of it, and
 * each connection's first turn at a place of its own. So a lost, repeated or moved block shows,
 * even if its size is that of a turn, and so do the bytes of another connection.
 *
 * A connection that fails counts as one error and is not replaced. At the end of the duration the
 * sender half-closes all connections, and the receiver goes on until each has ended or its timeout
 * is over. The timeout counts while the peer owes bytes, or its end after the sender's.
 *
 * It must store nothing of a stream, and the sender must never outlive this process. A sender that
 * dies ends the work, and must show in the report.
 */
#include "client/load/stream.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/content/pattern.h"
#include "client/load/crew.h"
#include "client/value/pace.h"
#include "lib/clock.h"
#include "lib/socket.h"

enum {
        STREAM_EVENTS = 64,
        /* As much as the service sends at once. */
        STREAM_BUFFER_SIZE = 256 * 1024,
        STREAM_TICK_MILLISECONDS = 50,
        /* The bytes of a turn, which no buffer on the way has as its size: a lost or repeated block
         * shows. They are few, so that a processor's cache keeps the pattern. A stream repeats
         * itself only after as many turns, about a gibibyte. */
        STREAM_PERIOD = 32749,
        /* From the beginning of a turn to that of the next, and from the first one of a connection
         * to that of another, whose bytes must differ. All three are primes. */
        STREAM_SHIFT = 13933,
        STREAM_STRIDE = 16381,
        /* The reads of what came before an interrupt: more than the kernel queues for a socket. */
        STREAM_LAST_READS = 64,
        /* The most that one sendmsg(2) passes, in turns. */
        STREAM_PIECES = 16,
};

/* The time between the writes to a connection at a fixed bandwidth. */
#define STREAM_PACE CLOCK_MILLISECOND

/* One connection as the receiver sees it. */
typedef struct StreamLine {
        int fd;
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
        StreamLine *lines;
        /* Those that have not ended. */
        size_t live;
        uint64_t start;
        uint64_t end;
        pid_t sender;
        /* The receiver's epoll(7) descriptor. */
        int epoll;
        /* The bytes of a turn, twice, so that no turn ends where they do. */
        uint8_t pattern[2 * STREAM_PERIOD];
        uint8_t buffer[STREAM_BUFFER_SIZE];
} Stream;

static int stream_watch(const Stream *stream, uint32_t events) {
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        for (size_t i = 0; epoll >= 0 && i < stream->plan->connections; i++) {
                struct epoll_event event = { .events = events, .data.u64 = i };

                if (stream->lines[i].fd >= 0)
                        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, stream->lines[i].fd, &event);
        }
        return epoll < 0 ? -errno : epoll;
}

/* Returns the place in the pattern of the byte of connection @i after @before bytes, and sets
 * @ret_size to the number of bytes from there on to the end of the turn, but no more than @size. */
static size_t stream_place(size_t i, uint64_t before, size_t size, size_t *ret_size) {
        const uint64_t turn = before / STREAM_PERIOD % STREAM_PERIOD;
        const size_t place = before % STREAM_PERIOD, left = STREAM_PERIOD - place;

        *ret_size = size < left ? size : left;
        return (i * STREAM_STRIDE + turn * STREAM_SHIFT) % STREAM_PERIOD + place;
}

/* Sets @ret_pieces to the next @size bytes for connection @i, or as many as fit. Returns the number
 * of pieces, and adds that of the bytes to @end. */
static size_t stream_gather(Stream *stream, size_t i, size_t size,
                            struct iovec ret_pieces[static STREAM_PIECES], uint64_t *end) {
        size_t count = 0, n;

        for (; size > 0 && count < STREAM_PIECES; size -= n) {
                size_t place = stream_place(i, *end, size, &n);

                ret_pieces[count++] = (struct iovec){ stream->pattern + place, n };
                *end += n;
        }
        return count;
}

/* Sends as many of @size bytes as connection @i takes at once. Returns false after an error, which
 * it notes in the page. */
static bool stream_send(Stream *stream, size_t i, size_t size) {
        LoadSent *sent = &stream->page->sent[i];
        struct iovec pieces[STREAM_PIECES];
        struct msghdr message = { .msg_iov = pieces };
        uint64_t end = sent->bytes;
        ssize_t n;
        int error;

        message.msg_iovlen = stream_gather(stream, i, size, pieces, &end);
        sent->begun = end;
        n = sendmsg(stream->lines[i].fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = n < 0 ? errno : 0;
        if (n > 0) {
                sent->bytes += (uint64_t)n;
                stream->page->bytes_sent += (uint64_t)n;
        }
        sent->begun = sent->bytes;
        if (error == 0 || error == EAGAIN || error == EINTR)
                return true;
        sent->error = error;
        return false;
}

/* Waits for the start of the load; returns whether there is one. */
static bool stream_start(Stream *stream) {
        stream->start = crew_start(stream->plan);
        stream->end = stream->start + stream->plan->options->duration;
        return stream->start != 0;
}

/* Sends as much as the connections take, and something, however late this process gets a processor.
 * Returns 0 or a negative errno. */
static int stream_send_freely(Stream *stream) {
        struct epoll_event events[STREAM_EVENTS];
        size_t live = stream->live;
        int epoll = stream_watch(stream, EPOLLOUT);

        if (epoll < 0)
                return epoll;
        while (live > 0 && !stream->page->stop &&
               (clock_now() < stream->end || stream->page->bytes_sent == 0)) {
                int n = epoll_wait(epoll, events, STREAM_EVENTS, STREAM_TICK_MILLISECONDS);

                /* Where the receiver has the same processor: it takes what is in a cache. */
                sched_yield();
                for (int i = 0; i < n; i++)
                        if (!stream_send(stream, events[i].data.u64, stream->plan->options->size)) {
                                (void)epoll_ctl(epoll, EPOLL_CTL_DEL,
                                                stream->lines[events[i].data.u64].fd, NULL);
                                live--;
                        }
        }
        return 0;
}

/* Sends as much as --bandwidth allows until the end, each connection its part. */
static void stream_send_paced(Stream *stream) {
        const ClientOptions *options = stream->plan->options;
        const Pace pace = { .start = stream->start, .rate = options->bandwidth };
        uint64_t now;

        do {
                uint64_t allowed;

                now = clock_earlier(clock_now(), stream->end);
                allowed = pace_allowance(&pace, now) / options->connections;

                for (size_t i = 0; i < stream->plan->connections; i++) {
                        LoadSent *sent = &stream->page->sent[i];
                        uint64_t left = allowed > sent->bytes ? allowed - sent->bytes : 0;

                        if (stream->lines[i].fd >= 0 && left > 0 && sent->error == 0)
                                (void)stream_send(stream, i,
                                                  left < options->size ? left : options->size);
                }
                clock_sleep(clock_earlier(now + STREAM_PACE, stream->end));
        } while (now < stream->end && !stream->page->stop);
}

static _Noreturn void stream_send_all(Stream *stream, pid_t parent) {
        int r = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || !stream_start(stream))
                _exit(ESRCH);
        if (stream->plan->options->bandwidth > 0)
                stream_send_paced(stream);
        else
                r = stream_send_freely(stream);
        if (r < 0)
                _exit(-r);
        for (size_t i = 0; i < stream->plan->connections; i++)
                if (stream->lines[i].fd >= 0)
                        shutdown(stream->lines[i].fd, SHUT_WR);
        /* Not before: the peers owe their ends from now on. */
        stream->page->sent_all = true;
        _exit(0);
}

/* Ends a connection, with an error unless @kind is FAILURE_NONE. */
static void stream_end_line(Stream *stream, StreamLine *line, FailureKind kind) {
        kernel_note(&stream->page->kernel, line->fd);
        if (kind != FAILURE_NONE)
                stream->page->errors[kind]++;
        /* The sender has a descriptor of its own and must stop; closing this one would not end the
         * events. */
        shutdown(line->fd, SHUT_RDWR);
        (void)epoll_ctl(stream->epoll, EPOLL_CTL_DEL, line->fd, NULL);
        close(line->fd);
        line->fd = -1;
        stream->live--;
}

/* Returns whether the next @size bytes of connection @i, in the buffer, equal the sent ones. */
static bool stream_is_right(const Stream *stream, size_t i, size_t size) {
        for (size_t done = 0, n; done < size; done += n) {
                size_t place = stream_place(i, stream->lines[i].received + done, size - done, &n);

                if (memcmp(stream->buffer + done, stream->pattern + place, n) != 0)
                        return false;
        }
        return true;
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
        ssize_t n = recv(line->fd, stream->buffer, sizeof stream->buffer, MSG_DONTWAIT);
        int error = n < 0 ? errno : 0;
        size_t piece;
        bool right;

        if (error == EAGAIN || error == EINTR)
                return;
        if (n < 0) {
                stream_end_line(stream, line, failure_kind_from_errno(error));
        } else if (n > 0) {
                stream->page->bytes_received += (uint64_t)n;
                line->last = clock_now();
                right = stream_is_right(stream, i, (size_t)n);
                if (!right && line->received == 0)
                        (void)foreign_describe(stream->buffer,
                                               stream->pattern + stream_place(i, 0, (size_t)n,
                                                                              &piece),
                                               (size_t)n, stream->page->foreign);
                line->received += (uint64_t)n;
                if (!right || stream_is_ahead(stream, i))
                        stream_end_line(stream, line, FAILURE_DIFFERS);
        } else {
                stream_end_line(stream, line, stream_judge(stream, i));
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
                /* What came while this process had no processor came before the timeout. */
                if (line->fd < 0 || now - line->last < timeout || socket_is_readable(line->fd))
                        continue;
                if (stream->page->sent_all && sent == line->received)
                        stream->page->unclosed++;
                stream_end_line(stream, line, FAILURE_TIMEOUT);
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
                const int *fd = &stream->lines[i].fd;

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

        stream->epoll = stream_watch(stream, EPOLLIN);
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
                stream_send_all(stream, parent);
        if (stream_start(stream)) {
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

static int stream_connect(Stream *stream) {
        size_t count = stream->plan->connections;
        int *fds = calloc(count, sizeof *fds);

        if (fds == NULL)
                return -ENOMEM;
        crew_connect(stream->plan, fds);
        for (size_t i = 0; i < count; i++) {
                stream->lines[i].fd = fds[i] < 0 ? -1 : fds[i];
                stream->live += fds[i] < 0 ? 0 : 1;
        }
        free(fds);
        return 0;
}

int stream_run(const LoadPlan *plan) {
        Stream *stream = calloc(1, sizeof *stream);
        Pattern pattern;
        int r = -ENOMEM;

        if (stream == NULL)
                return r;
        stream->plan = plan;
        stream->page = plan->page;
        stream->lines = calloc(plan->connections, sizeof *stream->lines);
        if (stream->lines != NULL) {
                pattern_init(&pattern);
                pattern_fill(&pattern, 0, stream->pattern, STREAM_PERIOD);
                memcpy(stream->pattern + STREAM_PERIOD, stream->pattern, STREAM_PERIOD);
                r = stream_connect(stream);
                if (r == 0)
                        r = stream_exchange(stream);
        }
        free(stream->lines);
        free(stream);
        return r;
}
