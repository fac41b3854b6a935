/* SPDX-License-Identifier: MIT */
/*
 * Decides when the connections of one process of a load begin requests, and when they end.
 *
 * Without a rate a free connection begins the next request at once. At a fixed rate requests are
 * due at instants of the Schedule; free connections wait in a ring, first in, first out, so that
 * all of them carry the load. At the end of the duration connections end when they become free, and
 * the loop goes on until all have ended.
 *
 * The loop waits for events of the connections, for the instant of the next request, and for a tick
 * that enforces the deadlines. Only the tick walks over all slots, so the cost of an event does not
 * grow with their number.
 *
 * A failed connection must rest until the next tick, or failures would take all of the time.
 */
#include "client/load/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "client/load/crew.h"
#include "client/load/slots.h"
#include "lib/clock.h"

enum {
        WORKER_EVENTS = 64,
};

#define WORKER_TICK (50 * CLOCK_MILLISECOND)

/* The tick while the queue of a Unix socket is full: no descriptor announces its end. */
#define WORKER_SHORT_TICK CLOCK_MILLISECOND

/* Requests that were due before the end may begin for this long after the worker has seen it. One
 * hitch of the machine is not an overload, which leaves more of them. */
#define WORKER_GRACE (100 * CLOCK_MILLISECOND)

typedef struct Worker {
        const LoadPlan *plan;
        Slots slots;
        /* The ring of the free slots. */
        Slot **idle;
        size_t idle_first;
        size_t idle_count;
        uint64_t start;
        uint64_t end;
        uint64_t next_tick;
        /* The parent wants the end, and the last look for answers is done. */
        bool stopped;
        /* At a fixed rate: the instants of requests, the number of the next one, and the instant
         * from which none may begin. */
        Schedule schedule;
        uint64_t next;
        uint64_t last;
} Worker;

static bool worker_is_due(const Worker *worker, uint64_t now) {
        uint64_t due = schedule_due(&worker->schedule, worker->next);

        return due <= now && due < worker->end && now < worker->last;
}

/* Returns whether @slot may begin a request at @now without a rate. Each slot begins one, however
 * late this process gets a processor. */
static bool worker_may_begin(const Worker *worker, const Slot *slot, uint64_t now) {
        return now < worker->end || (slot->begun == 0 && !worker->plan->page->stop);
}

static void worker_push_idle(Worker *worker, Slot *slot) {
        slot->state = SLOT_IDLE;
        worker->idle[(worker->idle_first + worker->idle_count++) % worker->plan->connections] =
                        slot;
}

static Slot *worker_pop_idle(Worker *worker) {
        Slot *slot = worker->idle[worker->idle_first];

        worker->idle_first = (worker->idle_first + 1) % worker->plan->connections;
        worker->idle_count--;
        return slot;
}

/* Begins or ends something on a slot that is not busy, or puts it into the ring. */
static void worker_employ(Worker *worker, Slot *slot, uint64_t now) {
        const uint64_t rate = worker->plan->options->rate;

        if (rate > 0 && worker_is_due(worker, now))
                slot_begin(&worker->slots, slot, schedule_due(&worker->schedule, worker->next++));
        else if (rate == 0 && worker_may_begin(worker, slot, now))
                slot_begin(&worker->slots, slot, now);
        else if (now >= worker->end)
                slot_end(&worker->slots, slot, now);
        else
                worker_push_idle(worker, slot);
}

static void worker_catch_up(Worker *worker, uint64_t now) {
        while (worker->idle_count > 0 && worker_is_due(worker, now))
                slot_begin(&worker->slots, worker_pop_idle(worker),
                           schedule_due(&worker->schedule, worker->next++));
        while (worker->idle_count > 0 && now >= worker->end)
                slot_end(&worker->slots, worker_pop_idle(worker), now);
}

static void worker_tick(Worker *worker, uint64_t now) {
        const bool stop = worker->plan->page->stop;
        bool queued = false;

        if (now < worker->next_tick && !stop)
                return;
        if (stop && now < worker->end)
                worker->end = now;
        for (size_t i = 0; i < worker->plan->connections; i++) {
                Slot *slot = &worker->slots.list[i];
                const bool rested = slot->state == SLOT_RESTING;

                /* A full queue gets its last attempt before the deadline counts. */
                queued |= slot_tick(&worker->slots, slot);
                if (stop && slot->state != SLOT_CONNECTING)
                        (void)slot_look(&worker->slots, slot);
                if (slot_expire(&worker->slots, slot, now))
                        worker_employ(worker, slot, clock_now());
                if (rested && worker_may_begin(worker, slot, now))
                        worker_employ(worker, slot, now);
        }
        worker->stopped = stop;
        worker->next_tick = now + (queued ? WORKER_SHORT_TICK : WORKER_TICK);
}

static struct timespec worker_timeout(const Worker *worker, uint64_t now) {
        uint64_t wake = worker->next_tick;

        if (worker->idle_count > 0)
                wake = clock_earlier(wake, schedule_due(&worker->schedule, worker->next));
        /* Rates need a window that is not shorter than the duration. */
        if (now < worker->end)
                wake = clock_earlier(wake, worker->end);
        return clock_timespec(wake > now ? wake - now : 0);
}

static int worker_loop(Worker *worker) {
        struct epoll_event events[WORKER_EVENTS];
        uint64_t now = clock_now();

        do {
                struct timespec timeout = worker_timeout(worker, now);
                int n = epoll_pwait2(worker->slots.epoll, events, WORKER_EVENTS, &timeout, NULL);

                if (n < 0 && errno != EINTR)
                        return -errno;
                for (int i = 0; i < n; i++) {
                        Slot *slot = events[i].data.ptr;

                        if (slot_serve(&worker->slots, slot, events[i].events))
                                worker_employ(worker, slot, clock_now());
                }
                now = clock_now();
                if (now >= worker->end) {
                        crew_close_window(worker->plan, now - worker->start);
                        worker->last = clock_earlier(worker->last, now + WORKER_GRACE);
                }
                worker_catch_up(worker, now);
                worker_tick(worker, now);
        } while (now < worker->end || (worker->slots.busy > 0 && !worker->stopped));
        crew_close_window(worker->plan, now - worker->start);
        worker->plan->page->elapsed = now - worker->start;
        return 0;
}

static int worker_work(Worker *worker) {
        const LoadPlan *plan = worker->plan;
        int r;

        r = slots_connect(&worker->slots);
        if (r < 0)
                return r;
        worker->start = crew_start(plan);
        if (worker->start == 0)
                return 0;
        worker->end = worker->start + plan->options->duration;
        worker->last = CLOCK_NEVER;
        worker->schedule = crew_schedule(plan, worker->start);
        r = worker_loop(worker);
        if (r == 0)
                crew_count_overdue(plan, &worker->schedule, worker->next, worker->end);
        return r;
}

int worker_run(const LoadPlan *plan) {
        Worker *worker = calloc(1, sizeof *worker);
        int r;

        if (worker == NULL)
                return -ENOMEM;
        worker->plan = plan;
        worker->idle = calloc(plan->connections, sizeof(Slot *));
        r = slots_init(&worker->slots, plan);
        if (r == 0)
                r = worker->idle == NULL ? -ENOMEM : worker_work(worker);
        slots_deinit(&worker->slots);
        free(worker->idle);
        free(worker);
        return r;
}
