/* SPDX-License-Identifier: MIT */
/*
 * One process of a load of datagrams.
 *
 * Each connection of the plan is a socket with a port of its own. Without a rate a socket has one
 * open datagram: its answer, an error or the timeout begins the next one. At a fixed rate
 * datagrams are due at instants of the Schedule, and the sockets take turns, whatever came back.
 * Times count from the instant at which a datagram was due, the timeout from that of its sending:
 * the service is not to blame for a lag of this process.
 *
 * After the duration the loop goes on until no datagram is open: each has its answer, or exceeds
 * the timeout. Only a tick walks over all sockets, to find those timeouts and to count errors.
 *
 * A rejected datagram must not begin the next one before the tick: a closed port answers faster
 * than any service.
 */
#include "client/load/spray.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client/load/crew.h"
#include "client/network/flow.h"
#include "lib/clock.h"

enum {
        SPRAY_EVENTS = 64,
        /* The late datagrams that go out before the loop receives again, and looks for a stop. */
        SPRAY_BATCH = 64,
        /* The timeouts of a flow that a tick finds. */
        SPRAY_TICK_EVENTS = 1 << 12,
        /* All flows of a process remember this many datagrams, and each at least the others. */
        SPRAY_REMEMBERED = 1 << 20,
        SPRAY_REMEMBERED_LEAST = 1 << 8,
};

#define SPRAY_TICK (50 * CLOCK_MILLISECOND)

/* Datagrams due before the end may be sent for this long after the process has seen the end. */
#define SPRAY_GRACE (100 * CLOCK_MILLISECOND)

/* The pause after the kernel has refused a datagram for want of room. */
#define SPRAY_PAUSE CLOCK_MILLISECOND

typedef struct Spray {
        const LoadPlan *plan;
        Payload payload;
        Flow *flows;
        size_t count;
        int epoll;
        uint64_t start;
        uint64_t end;
        uint64_t next_tick;
        /* At a fixed rate: the instants of datagrams, the number of the next one, and the instant
         * from which none may be sent. */
        Schedule schedule;
        uint64_t next;
        uint64_t last;
        /* The instant until which the send buffer is full. */
        uint64_t full;
        /* The parent wants the end, and the last look for answers is done. */
        bool stopped;
        /* The errors before the first datagram. */
        uint64_t errors[FAILURE_KINDS];
} Spray;

/* Returns the instant from which the time of the answer @event of @flow counts. */
static uint64_t spray_since(const Spray *spray, const Flow *flow, const FlowEvent *event) {
        const uint64_t index = (uint64_t)(flow - spray->flows);

        if (spray->plan->options->rate == 0)
                return event->answer.sent;
        return schedule_due(&spray->schedule, event->number * spray->count + index);
}

/* Counts what is final. spray_count_errors() counts the rest. */
static void spray_take(const Spray *spray, const Flow *flow, const FlowEvent *event) {
        LoadPage *page = spray->plan->page;

        if (event->kind == FLOW_REJECTED && rejection_kind(&event->rejection) == FAILURE_LOCAL)
                page->local_error = event->rejection.error;
        if (event->kind != FLOW_ANSWER)
                return;
        page->bytes_received += flow->answer_size;
        if (event->answer.verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(flow, page->foreign);
        if (event->answer.verdict == VOLLEY_ANSWERED) {
                page->answered++;
                histogram_record(&page->latency, event->answer.sent + event->answer.time -
                                                                 spray_since(spray, flow, event));
        }
}

/* Counts the errors of all flows anew, beside those of connecting: an answer or an ICMP error can
 * change the kind of one, and revoke it. */
static void spray_count_errors(const Spray *spray) {
        LoadPage *page = spray->plan->page;
        uint64_t errors[FAILURE_KINDS];

        memcpy(errors, spray->errors, sizeof errors);
        for (size_t i = 0; i < spray->count; i++) {
                errors[FAILURE_DIFFERS] += spray->flows[i].volley.counts.unrecognized;
                flow_add_errors(&spray->flows[i], errors);
        }
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                page->errors[kind] = errors[kind];
}

/* Sends a datagram at @now. Returns whether the kernel took it, or rejected it. */
static bool spray_send(Spray *spray, Flow *flow, uint64_t now) {
        FlowEvent event;

        if (flow_send(flow, now, &event) < 0) {
                spray->full = clock_now() + SPRAY_PAUSE;
                return false;
        }
        if (event.kind == FLOW_REJECTED)
                spray_take(spray, flow, &event);
        else
                spray->plan->page->bytes_sent += spray->payload.size;
        return true;
}

/* Without a rate: sends the next datagram of a flow that has no open one. Each flow sends one,
 * however late this process gets a processor. */
static void spray_employ(Spray *spray, Flow *flow, uint64_t now) {
        const bool first = flow->volley.counts.sent == 0 && !spray->plan->page->stop;

        if (spray->plan->options->rate == 0 && (now < spray->end || first) &&
            flow->volley.counts.open == 0)
                (void)spray_send(spray, flow, now);
}

/* Returns whether datagrams of a fixed rate remain that may be sent at @now or later. */
static bool spray_remains(const Spray *spray, uint64_t now) {
        return spray->plan->options->rate > 0 && now < spray->last &&
               schedule_due(&spray->schedule, spray->next) < spray->end;
}

/* At a fixed rate: sends datagrams that are due, at most a batch. */
static void spray_catch_up(Spray *spray) {
        for (int i = 0; i < SPRAY_BATCH; i++) {
                const uint64_t now = clock_now();

                if (now < spray->full || !spray_remains(spray, now) ||
                    schedule_due(&spray->schedule, spray->next) > now ||
                    !spray_send(spray, &spray->flows[spray->next % spray->count], now))
                        return;
                spray->next++;
        }
}

static void spray_serve(Spray *spray, Flow *flow, int most) {
        FlowEvent event;

        for (int i = 0; i < most && flow_next(flow, &event); i++) {
                spray_take(spray, flow, &event);
                if (event.kind != FLOW_REJECTED)
                        spray_employ(spray, flow, clock_now());
        }
}

static uint64_t spray_open(const Spray *spray) {
        uint64_t open = 0;

        for (size_t i = 0; i < spray->count; i++)
                open += spray->flows[i].volley.counts.open;
        return open;
}

static void spray_tick(Spray *spray, uint64_t now) {
        const bool stop = spray->plan->page->stop;

        if (now < spray->next_tick && !stop)
                return;
        spray->next_tick = now + SPRAY_TICK;
        spray->stopped = stop;
        if (stop && now < spray->end)
                spray->end = now;
        for (size_t i = 0; i < spray->count; i++) {
                spray_serve(spray, &spray->flows[i], SPRAY_TICK_EVENTS);
                spray_employ(spray, &spray->flows[i], now);
        }
        spray_count_errors(spray);
}

static struct timespec spray_timeout(const Spray *spray, uint64_t now) {
        uint64_t wake = spray->next_tick, due;

        if (spray_remains(spray, now)) {
                due = schedule_due(&spray->schedule, spray->next);
                wake = clock_earlier(wake, due > spray->full ? due : spray->full);
        }
        /* Rates need a window that is not shorter than the duration. */
        if (now < spray->end)
                wake = clock_earlier(wake, spray->end);
        return clock_timespec(wake > now ? wake - now : 0);
}

static bool spray_goes_on(const Spray *spray, uint64_t now) {
        if (now < spray->end)
                return true;
        return !spray->stopped && (spray_remains(spray, now) || spray_open(spray) > 0);
}

static int spray_loop(Spray *spray) {
        struct epoll_event events[SPRAY_EVENTS];
        uint64_t now = clock_now();

        do {
                struct timespec timeout = spray_timeout(spray, now);
                int n = epoll_pwait2(spray->epoll, events, SPRAY_EVENTS, &timeout, NULL);

                if (n < 0 && errno != EINTR)
                        return -errno;
                for (int i = 0; i < n; i++)
                        spray_serve(spray, events[i].data.ptr,
                                    spray->plan->options->rate == 0 ? 1 : SPRAY_EVENTS);
                now = clock_now();
                if (now >= spray->end) {
                        crew_close_window(spray->plan, now - spray->start);
                        spray->last = clock_earlier(spray->last, now + SPRAY_GRACE);
                }
                spray_catch_up(spray);
                spray_tick(spray, now);
        } while (spray_goes_on(spray, now));
        crew_close_window(spray->plan, now - spray->start);
        spray->plan->page->elapsed = now - spray->start;
        return 0;
}

/* Returns the number of datagrams that each flow remembers, a power of two. */
static size_t spray_remember(size_t flows) {
        size_t remembered = SPRAY_REMEMBERED;

        while (remembered > SPRAY_REMEMBERED_LEAST && remembered > SPRAY_REMEMBERED / flows)
                remembered /= 2;
        return remembered;
}

/* Makes flows of the sockets at @fds, of which some have failed. */
static int spray_prepare(Spray *spray, const int *fds) {
        const LoadPlan *plan = spray->plan;
        const size_t remembered = spray_remember(plan->connections);

        for (size_t i = 0; i < plan->connections; i++) {
                Flow *flow = &spray->flows[spray->count];
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = flow };
                int r;

                if (fds[i] < 0)
                        continue;
                r = flow_init(flow, fds[i], &spray->payload, spray->count, remembered,
                              plan->options->timeout, !plan->options->dont_fragment);
                if (r < 0)
                        return r;
                spray->count++;
                if (epoll_ctl(spray->epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
                        return -errno;
        }
        return 0;
}

static void spray_sum_up(const Spray *spray) {
        LoadPage *page = spray->plan->page;

        spray_count_errors(spray);
        for (size_t i = 0; i < spray->count; i++) {
                const Flow *flow = &spray->flows[i];

                volley_add(&page->counts, &flow->volley.counts);
                page->overflow += flow_overflow(flow);
                rejections_add(&page->rejections, &flow->rejections);
        }
}

static int spray_work(Spray *spray, int *fds) {
        const LoadPlan *plan = spray->plan;
        int r;

        crew_connect(plan, fds);
        r = spray_prepare(spray, fds);
        if (r < 0)
                return r;
        spray->start = crew_start(plan);
        if (spray->start == 0 || spray->count == 0)
                return 0;
        spray->end = spray->start + plan->options->duration;
        spray->last = CLOCK_NEVER;
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                spray->errors[kind] = plan->page->errors[kind];
        spray->schedule = crew_schedule(plan, spray->start);
        r = spray_loop(spray);
        spray_sum_up(spray);
        if (r == 0)
                crew_count_overdue(plan, &spray->schedule, spray->next, spray->end);
        return r;
}

int spray_run(const LoadPlan *plan) {
        Spray *spray = calloc(1, sizeof *spray);
        Flow *flows = calloc(plan->connections, sizeof *flows);
        int *fds = calloc(plan->connections, sizeof *fds), r = -ENOMEM;

        if (spray != NULL && flows != NULL && fds != NULL) {
                spray->plan = plan;
                spray->flows = flows;
                payload_init(&spray->payload, plan->options->size);
                spray->epoll = epoll_create1(EPOLL_CLOEXEC);
                r = spray->epoll < 0 ? -errno : spray_work(spray, fds);
                for (size_t i = 0; i < spray->count; i++) {
                        close(flows[i].fd);
                        flow_deinit(&flows[i]);
                }
        }
        free(fds);
        free(flows);
        free(spray);
        return r;
}
