/* SPDX-License-Identifier: MIT */
/*
 * The common part of a load's workers, of requests and of streams: they open their connections,
 * start together, and note their counts at the end of the duration.
 *
 * The parent forks the workers with two pipes. A worker closes its end of the first one when its
 * connections are open; the parent reads the end of that pipe when all workers have done so or
 * died. The parent then writes the start into each page and closes its end of the second pipe,
 * which wakes all workers at once. The start lies a moment ahead, so that each worker is awake
 * before it.
 *
 * No process may hold up the others: a worker that dies counts as ready, and a parent that dies or
 * gives up releases all workers.
 */
#include "client/load/crew.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/network/connection.h"
#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/socket.h"

enum {
        /* A listener's queue is often no longer than this; what it drops costs a second. */
        CREW_AT_ONCE = 128,
        CREW_TICK_MILLISECONDS = 50,
};

/* The connections under way. */
typedef struct Crew {
        const LoadPlan *plan;
        int *fds;
        size_t count;
        struct pollfd polled[CREW_AT_ONCE];
        size_t slots[CREW_AT_ONCE];
        uint64_t starts[CREW_AT_ONCE];
} Crew;

void crew_fail(LoadPage *page, int error) {
        FailureKind kind = failure_kind_from_errno(error);

        page->errors[kind]++;
        if (kind == FAILURE_LOCAL)
                page->local_error = error;
}

static void crew_settle(Crew *crew, size_t slot, int fd) {
        crew->fds[slot] = fd;
        if (fd < 0 && fd != -EINTR)
                crew_fail(crew->plan->page, -fd);
}

void crew_count_connection(LoadPage *page, uint64_t begun) {
        page->phases.connections++;
        page->phases.connect += clock_now() - begun;
}

/* Begins the connection at place @i. Its descriptor stays -1 while the queue of its Unix socket is
 * full. Returns 1 when it is connected already, 0, or a negative errno. */
static int crew_ask(Crew *crew, size_t i) {
        bool pending = true;
        int fd = connection_begin(crew->plan->peer, &crew->plan->options->connection, &pending);

        crew->polled[i] = (struct pollfd){ .fd = fd, .events = POLLOUT };
        if (fd >= 0)
                return pending ? 0 : 1;
        return fd == -EAGAIN ? 0 : fd;
}

/* Ends the attempt at place @i, with success or the negative errno @r. */
static void crew_end(Crew *crew, size_t i, int r) {
        int fd = crew->polled[i].fd, sent;

        sent = r < 0 ? 0 : proxy_header_send(&crew->plan->options->connection.proxy_header, fd);
        r = sent < 0 ? sent : r;
        if (r < 0)
                descriptor_close(fd);
        else
                crew_count_connection(crew->plan->page, crew->starts[i]);
        crew_settle(crew, crew->slots[i], r < 0 ? r : fd);
        crew->count--;
        crew->polled[i] = crew->polled[crew->count];
        crew->slots[i] = crew->slots[crew->count];
        crew->starts[i] = crew->starts[crew->count];
}

static void crew_begin(Crew *crew, size_t slot) {
        size_t i = crew->count++;
        int r;

        crew->slots[i] = slot;
        crew->starts[i] = clock_now();
        r = crew_ask(crew, i);
        if (r != 0)
                crew_end(crew, i, r);
}

/* Checks place @i at the instant @now. Returns 0 while it is under way. */
static int crew_look_at(Crew *crew, size_t i, uint64_t now) {
        const uint64_t timeout = crew->plan->options->connection.timeout;
        const bool late = timeout > 0 && now >= crew->starts[i] + timeout;
        const int fd = crew->polled[i].fd;
        int r = 0;

        if (crew->plan->page->stop)
                return -EINTR;

        /* A connection that came about while this process had no processor came in time. */
        if (fd < 0) {
                r = crew_ask(crew, i);
        } else if (crew->polled[i].revents != 0 || (late && socket_is_writable(fd))) {
                r = connection_finish(fd);
                return r < 0 ? r : 1;
        }
        return r == 0 && late ? -ETIME : r;
}

/* Returns whether the queue of a Unix socket is full. */
static bool crew_look(Crew *crew) {
        uint64_t now = clock_now();
        bool queued = false;

        /* Backwards, since the last one takes the place of one that ends. */
        for (size_t i = crew->count; i-- > 0;) {
                int r = crew_look_at(crew, i, now);

                if (r != 0)
                        crew_end(crew, i, r);
                else
                        queued |= crew->polled[i].fd < 0;
        }
        return queued;
}

void crew_connect(const LoadPlan *plan, int *ret_fds) {
        Crew crew = { .plan = plan, .fds = ret_fds };
        bool queued = false;
        size_t next = 0;

        if (plan->first >= 0) {
                crew_count_connection(plan->page, clock_now() - plan->setup);
                ret_fds[next++] = plan->first;
        }
        while (next < plan->connections || crew.count > 0) {
                while (next < plan->connections && crew.count < CREW_AT_ONCE && !plan->page->stop)
                        crew_begin(&crew, next++);
                while (next < plan->connections && plan->page->stop)
                        ret_fds[next++] = -EINTR;
                if (crew.count == 0)
                        continue;
                if (poll(crew.polled, crew.count, queued ? 1 : CREW_TICK_MILLISECONDS) >= 0)
                        queued = crew_look(&crew);
        }
}

size_t crew_live(const LoadPlan *plan, const int *fds) {
        size_t live = 0;

        for (size_t i = 0; i < plan->connections; i++)
                live += fds[i] >= 0;
        return live;
}

int crew_watch(const LoadPlan *plan, const int *fds, uint32_t events) {
        const int epoll = epoll_create1(EPOLL_CLOEXEC);

        if (epoll < 0)
                return -errno;
        for (size_t i = 0; i < plan->connections; i++)
                if (fds[i] >= 0)
                        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i],
                                        &(struct epoll_event){ .events = events, .data.u64 = i });
        return epoll;
}

uint64_t crew_start(const LoadPlan *plan) {
        struct pollfd go = { .fd = plan->go };
        uint64_t start;

        close(plan->ready);
        while (poll(&go, 1, -1) < 0 && errno == EINTR)
                ;
        start = plan->page->start;
        clock_sleep(start);
        return start;
}

Schedule crew_schedule(const LoadPlan *plan, uint64_t start) {
        return (Schedule){ .start = start,
                           .rate = plan->options->rate,
                           .index = plan->index,
                           .workers = plan->workers,
                           .connections = plan->options->connections,
                           .own = plan->connections };
}

void crew_count_overdue(const LoadPlan *plan, const Schedule *schedule, uint64_t begun,
                        uint64_t end) {
        const uint64_t due =
                        schedule->rate > 0 ? schedule_count(schedule, end - schedule->start) : 0;

        plan->page->overdue = due > begun ? due - begun : 0;
}

void crew_close_window(const LoadPlan *plan, uint64_t elapsed) {
        LoadPage *page = plan->page;

        if (page->window.elapsed > 0)
                return;
        page->window = (Interim){ .elapsed = elapsed,
                                  .answered = page->answered,
                                  .bytes_sent = page->bytes_sent,
                                  .bytes_received = page->bytes_received };
}
