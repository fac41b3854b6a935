/* SPDX-License-Identifier: MIT */
/*
 * Keeps the connections of one worker full: the sending half of a load of streams.
 *
 * Without a bandwidth each connection gets as much as it takes whenever it is writable. With one,
 * each gets its part of the allowance every millisecond. One call sends several pieces of the reel,
 * and passes them to the kernel where they are: nothing is copied here.
 *
 * The receiver judges the echo by what this process has sent. So the number of bytes that the
 * kernel may have sent already is in the page before sendmsg(2), and the number of those that it
 * has taken is there afterwards. A connection that fails is left alone: the receiver ends it.
 */
#include "client/load/stream_sender.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/load/crew.h"
#include "client/value/pace.h"
#include "lib/clock.h"

enum {
        SENDER_EVENTS = 64,
        SENDER_TICK_MILLISECONDS = 50,
        /* The most that one sendmsg(2) passes, in turns. */
        SENDER_PIECES = 16,
};

/* The time between the writes to a connection at a fixed bandwidth. */
#define SENDER_PACE CLOCK_MILLISECOND

typedef struct StreamSender {
        const LoadPlan *plan;
        const int *fds;
        const Reel *reel;
        uint64_t start;
        uint64_t end;
} StreamSender;

/* Sets @ret_pieces to the next @size bytes for connection @i, or as many as fit. Returns the number
 * of pieces, and adds that of the bytes to @end. */
static size_t sender_gather(const StreamSender *sender, size_t i, size_t size,
                            struct iovec ret_pieces[static SENDER_PIECES], uint64_t *end) {
        size_t count = 0, n;

        for (; size > 0 && count < SENDER_PIECES; size -= n) {
                const uint8_t *piece = reel_piece(sender->reel, i, *end, size, &n);

                ret_pieces[count++] = (struct iovec){ (void *)piece, n };
                *end += n;
        }
        return count;
}

/* Sends as many of @size bytes as connection @i takes at once. Returns false after an error, which
 * it notes in the page. */
static bool sender_send(const StreamSender *sender, size_t i, size_t size) {
        LoadPage *page = sender->plan->page;
        LoadSent *sent = &page->sent[i];
        struct iovec pieces[SENDER_PIECES];
        struct msghdr message = { .msg_iov = pieces };
        uint64_t end = sent->bytes;
        ssize_t n;
        int error;

        message.msg_iovlen = sender_gather(sender, i, size, pieces, &end);
        sent->begun = end;
        n = sendmsg(sender->fds[i], &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = n < 0 ? errno : 0;
        if (n > 0) {
                sent->bytes += (uint64_t)n;
                page->bytes_sent += (uint64_t)n;
        }
        sent->begun = sent->bytes;
        if (error == 0 || error == EAGAIN || error == EINTR)
                return true;
        sent->error = error;
        return false;
}

/* Sends as much as the connections take, and something, however late this process gets a processor.
 */
static int sender_send_freely(const StreamSender *sender) {
        const LoadPlan *plan = sender->plan;
        struct epoll_event events[SENDER_EVENTS];
        const int epoll = crew_watch(plan, sender->fds, EPOLLOUT);
        size_t live = crew_live(plan, sender->fds);

        if (epoll < 0)
                return epoll;
        while (live > 0 && !plan->page->stop &&
               (clock_now() < sender->end || plan->page->bytes_sent == 0)) {
                int n = epoll_wait(epoll, events, SENDER_EVENTS, SENDER_TICK_MILLISECONDS);

                /* Where the receiver has the same processor: it takes what is in a cache. */
                sched_yield();
                for (int i = 0; i < n; i++) {
                        const size_t place = events[i].data.u64;

                        if (sender_send(sender, place, plan->options->size))
                                continue;
                        (void)epoll_ctl(epoll, EPOLL_CTL_DEL, sender->fds[place], NULL);
                        live--;
                }
        }
        return 0;
}

/* Sends as much as --bandwidth allows until the end, each connection its part. */
static void sender_send_paced(const StreamSender *sender) {
        const LoadPlan *plan = sender->plan;
        const Pace pace = { .start = sender->start, .rate = plan->options->bandwidth };
        const size_t most = plan->options->size;
        uint64_t now, allowed;

        do {
                now = clock_earlier(clock_now(), sender->end);
                allowed = pace_allowance(&pace, now) / plan->options->connections;

                for (size_t i = 0; i < plan->connections; i++) {
                        const LoadSent *sent = &plan->page->sent[i];
                        uint64_t left = allowed > sent->bytes ? allowed - sent->bytes : 0;

                        if (sender->fds[i] >= 0 && left > 0 && sent->error == 0)
                                (void)sender_send(sender, i, left < most ? left : most);
                }
                clock_sleep(clock_earlier(now + SENDER_PACE, sender->end));
        } while (now < sender->end && !plan->page->stop);
}

_Noreturn void stream_sender_run(const LoadPlan *plan, const int *fds, const Reel *reel,
                                 pid_t parent) {
        StreamSender sender = { .plan = plan, .fds = fds, .reel = reel };
        int r = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(ESRCH);
        sender.start = crew_start(plan);
        sender.end = sender.start + plan->options->duration;
        if (sender.start == 0)
                _exit(ESRCH);
        if (plan->options->bandwidth > 0)
                sender_send_paced(&sender);
        else
                r = sender_send_freely(&sender);
        if (r < 0)
                _exit(-r);
        for (size_t i = 0; i < plan->connections; i++)
                if (fds[i] >= 0)
                        shutdown(fds[i], SHUT_WR);
        /* Not before: the peers owe their ends from now on. */
        plan->page->sent_all = true;
        _exit(0);
}
