/* SPDX-License-Identifier: MIT */
#include "client/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/crew.h"
#include "client/pattern.h"
#include "client/schedule.h"
#include "lib/clock.h"

enum {
        WORKER_EVENTS = 64,
        WORKER_BUFFER_SIZE = 64 * 1024,
        /* Each message begins at another place of the pattern, and each connection starts at a
         * place of its own, so that the answer to another request or of another connection differs.
         * Both numbers are primes: 65,521 connections have different places. */
        WORKER_PLACES = 65521,
        WORKER_STRIDE = 257,
};

/* A failed connection rests until the next tick, lest failures are all that happens. */
#define WORKER_TICK (50 * CLOCK_MILLISECOND)

/* After the end, what was due before it may still begin for this long: one hitch of the machine is
 * no overload, which leaves more behind than that. */
#define WORKER_GRACE (100 * CLOCK_MILLISECOND)

typedef enum SlotState {
        SLOT_RESTING,
        SLOT_IDLE,
        SLOT_CONNECTING,
        SLOT_BUSY,
        /* Half-closed: nothing but the end of the connection is owed. */
        SLOT_ENDING,
} SlotState;

/* One connection, and the request that is under way on it. */
typedef struct Slot {
        int fd;
        SlotState state;
        /* Nanoseconds that the connection's setup took before the load, which count. */
        uint64_t setup;
        /* The instant that the latency counts from, and the one at which it is given up. */
        uint64_t due;
        uint64_t deadline;
        /* When the whole answer was there, of a connection that has to end before it counts. */
        uint64_t answered;
        size_t sent;
        size_t received;
        size_t place;
        bool wants_out;
} Slot;

typedef struct Worker {
        const LoadPlan *plan;
        const ClientOptions *options;
        LoadPage *page;
        int epoll;
        Slot *slots;
        /* A ring of the slots that wait for something to be due: first in, first out, so that all
         * connections carry the load. */
        Slot **idle;
        size_t idle_first;
        size_t idle_count;
        size_t busy;
        uint64_t end;
        /* At a fixed rate: when requests are due, and the number of the next one. */
        Schedule schedule;
        uint64_t next;
        uint8_t *messages;
        uint8_t buffer[WORKER_BUFFER_SIZE];
} Worker;

/* Whether the next request may begin at @now. */
static bool worker_is_due(const Worker *worker, uint64_t now) {
        uint64_t due = schedule_due(&worker->schedule, worker->next);

        return due <= now && due < worker->end && now < worker->end + WORKER_GRACE;
}

static void worker_watch(Worker *worker, Slot *slot, int operation, bool out) {
        struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = slot };

        slot->wants_out = out;
        (void)epoll_ctl(worker->epoll, operation, slot->fd, &event);
}

static void worker_close(const Worker *worker, Slot *slot) {
        if (slot->fd < 0)
                return;
        /* The connection that another process opened may still be open there, and go on to be told
         * of for as long. */
        (void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, slot->fd, NULL);
        close(slot->fd);
        slot->fd = -1;
}

static bool slot_is_busy(const Slot *slot) {
        return slot->state != SLOT_RESTING && slot->state != SLOT_IDLE;
}

static void worker_set_state(Worker *worker, Slot *slot, SlotState state) {
        worker->busy -= slot_is_busy(slot) ? 1 : 0;
        slot->state = state;
        worker->busy += slot_is_busy(slot) ? 1 : 0;
}

static void worker_push_idle(Worker *worker, Slot *slot) {
        worker_set_state(worker, slot, SLOT_IDLE);
        worker->idle[(worker->idle_first + worker->idle_count++) % worker->plan->connections] =
                        slot;
}

static Slot *worker_pop_idle(Worker *worker) {
        Slot *slot = worker->idle[worker->idle_first];

        worker->idle_first = (worker->idle_first + 1) % worker->plan->connections;
        worker->idle_count--;
        return slot;
}

static void worker_fail(Worker *worker, Slot *slot, int error) {
        crew_fail(worker->page, error);
        worker_close(worker, slot);
        worker_set_state(worker, slot, SLOT_RESTING);
}

/* Gives up what is under way. A request that nobody answered has waited as long as any. */
static void worker_give_up(Worker *worker, Slot *slot, uint64_t now) {
        if (slot->state == SLOT_ENDING)
                worker->page->unclosed++;
        else
                histogram_record(&worker->page->latency, now - slot->due);
        worker_fail(worker, slot, ETIME);
}

static uint64_t worker_deadline(uint64_t timeout, uint64_t now) {
        return timeout == 0 ? CLOCK_NEVER : now + timeout;
}

static int worker_send(Worker *worker, Slot *slot) {
        const uint8_t *message = worker->messages + slot->place;
        ssize_t n;

        if (slot->sent < worker->options->size) {
                n = send(slot->fd, message + slot->sent, worker->options->size - slot->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                slot->sent += n > 0 ? (size_t)n : 0;
                worker->page->bytes_sent += n > 0 ? (uint64_t)n : 0;
        }
        if (slot->wants_out != (slot->sent < worker->options->size))
                worker_watch(worker, slot, EPOLL_CTL_MOD, !slot->wants_out);
        return 0;
}

/* Returns 0, -EINPROGRESS while the connection is under way, or another negative errno. */
static int worker_open(Worker *worker, Slot *slot) {
        bool pending = false;

        if (worker->options->load == LOAD_REQUESTS)
                worker->page->reconnects++;
        slot->fd = connection_begin(worker->plan->peer, &worker->options->connection, &pending);
        if (slot->fd < 0)
                return slot->fd;
        worker_watch(worker, slot, EPOLL_CTL_ADD, pending);
        return pending ? -EINPROGRESS : 0;
}

/* Begins what is due at @due on a slot that has nothing to do. */
static void worker_begin(Worker *worker, Slot *slot, uint64_t due) {
        const ClientOptions *options = worker->options;
        uint64_t now = clock_now();
        int r = 0;

        /* A connection that found the address before the load began has taken its time, too. */
        slot->due = due - slot->setup;
        slot->setup = 0;
        slot->deadline = worker_deadline(options->timeout, now);
        slot->sent = slot->received = 0;
        slot->place = (slot->place + 1) % WORKER_PLACES;
        worker_set_state(worker, slot, SLOT_BUSY);

        if (slot->fd < 0)
                r = worker_open(worker, slot);
        if (r == -EINPROGRESS) {
                slot->deadline = worker_deadline(options->connection.timeout, now);
                worker_set_state(worker, slot, SLOT_CONNECTING);
                return;
        }
        if (r == 0)
                r = worker_send(worker, slot);
        if (r < 0)
                worker_fail(worker, slot, -r);
}

/* Half-closes the connection: what comes until its end shows whether the peer sent too much. */
static void worker_end(Worker *worker, Slot *slot, uint64_t now) {
        if (slot->fd < 0) {
                worker_set_state(worker, slot, SLOT_RESTING);
                return;
        }
        slot->deadline = worker_deadline(worker->options->timeout, now);
        worker_set_state(worker, slot, SLOT_ENDING);
        (void)shutdown(slot->fd, SHUT_WR);
}

/* Finds something to do for a slot that has nothing to do, or lets it wait. */
static void worker_employ(Worker *worker, Slot *slot, uint64_t now) {
        if (worker->options->rate > 0 && worker_is_due(worker, now))
                worker_begin(worker, slot, schedule_due(&worker->schedule, worker->next++));
        else if (now >= worker->end)
                worker_end(worker, slot, now);
        else if (worker->options->rate == 0)
                worker_begin(worker, slot, now);
        else
                worker_push_idle(worker, slot);
}

static void worker_count(Worker *worker, const Slot *slot, uint64_t answered) {
        worker->page->answered++;
        histogram_record(&worker->page->latency, answered - slot->due);
}

static void worker_complete(Worker *worker, Slot *slot) {
        uint64_t now = clock_now();

        if (worker->options->load == LOAD_CONNECTIONS) {
                slot->answered = now;
                worker_end(worker, slot, now);
        } else {
                worker_count(worker, slot, now);
                worker_employ(worker, slot, now);
        }
}

/* Receives into the buffer; returns how many bytes, 0 for none, or -EPIPE at the peer's end. */
static ssize_t worker_take(Worker *worker, const Slot *slot) {
        ssize_t n = recv(slot->fd, worker->buffer, sizeof worker->buffer, MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EPIPE;
        worker->page->bytes_received += (uint64_t)n;
        return n;
}

static int worker_receive(Worker *worker, Slot *slot) {
        const uint8_t *expected = worker->messages + slot->place + slot->received;
        ssize_t n = worker_take(worker, slot);

        if (n < 0)
                return (int)n;
        /* More than was sent is as wrong as something else. */
        if ((size_t)n > slot->sent - slot->received)
                return -EBADMSG;
        slot->received += (size_t)n;
        return memcmp(worker->buffer, expected, (size_t)n) == 0 ? 0 : -EBADMSG;
}

static int worker_serve_busy(Worker *worker, Slot *slot, uint32_t events) {
        int r = 0;

        if (slot->state == SLOT_CONNECTING) {
                r = connection_finish(slot->fd);
                if (r < 0)
                        return r;
                slot->deadline = worker_deadline(worker->options->timeout, clock_now());
                worker_set_state(worker, slot, SLOT_BUSY);
        }
        if ((events & EPOLLOUT) != 0)
                r = worker_send(worker, slot);
        if (r == 0 && (events & ~(uint32_t)EPOLLOUT) != 0)
                r = worker_receive(worker, slot);
        return r;
}

/* A peer that owes nothing may only leave. The slot stays among the idle ones, and connects again
 * when it has something to do. */
static void worker_serve_idle(Worker *worker, Slot *slot) {
        ssize_t n = worker_take(worker, slot);

        if (n == 0)
                return;
        if (n != -EPIPE)
                crew_fail(worker->page, n > 0 ? EBADMSG : (int)-n);
        worker_close(worker, slot);
}

static void worker_serve_ending(Worker *worker, Slot *slot) {
        ssize_t n = worker_take(worker, slot);

        if (n == 0)
                return;
        if (n != -EPIPE) {
                worker_fail(worker, slot, n > 0 ? EBADMSG : (int)-n);
                return;
        }
        worker_close(worker, slot);
        if (worker->options->load == LOAD_CONNECTIONS)
                worker_count(worker, slot, slot->answered);
        worker_employ(worker, slot, clock_now());
}

static void worker_serve(Worker *worker, Slot *slot, uint32_t events) {
        int r;

        if (slot->state == SLOT_IDLE) {
                worker_serve_idle(worker, slot);
                return;
        }
        if (slot->state == SLOT_ENDING) {
                worker_serve_ending(worker, slot);
                return;
        }
        r = worker_serve_busy(worker, slot, events);
        if (r < 0)
                worker_fail(worker, slot, -r);
        else if (slot->received == worker->options->size)
                worker_complete(worker, slot);
}

/* Begins what has become due for the slots that wait for it. */
static void worker_catch_up(Worker *worker, uint64_t now) {
        while (worker->idle_count > 0 && worker_is_due(worker, now))
                worker_begin(worker, worker_pop_idle(worker),
                             schedule_due(&worker->schedule, worker->next++));
        while (worker->idle_count > 0 && now >= worker->end)
                worker_end(worker, worker_pop_idle(worker), now);
}

static void worker_tick(Worker *worker, uint64_t now) {
        if (worker->page->stop && now < worker->end)
                worker->end = now;
        for (size_t i = 0; i < worker->plan->connections; i++) {
                Slot *slot = &worker->slots[i];

                if (slot_is_busy(slot) && now >= slot->deadline)
                        worker_give_up(worker, slot, now);
                else if (slot->state == SLOT_RESTING && now < worker->end)
                        worker_employ(worker, slot, now);
        }
}

static struct timespec worker_timeout(const Worker *worker, uint64_t now, uint64_t next_tick) {
        uint64_t wake = next_tick, left;

        if (worker->idle_count > 0 && schedule_due(&worker->schedule, worker->next) < wake)
                wake = schedule_due(&worker->schedule, worker->next);
        /* The rates are those of the duration, which must not seem longer than it is. */
        if (now < worker->end && worker->end < wake)
                wake = worker->end;
        left = wake > now ? wake - now : 0;
        return (struct timespec){ .tv_sec = (time_t)(left / CLOCK_SECOND),
                                  .tv_nsec = (long)(left % CLOCK_SECOND) };
}

static int worker_loop(Worker *worker, uint64_t start) {
        struct epoll_event events[WORKER_EVENTS];
        uint64_t now = clock_now(), next_tick = now;

        while (now < worker->end || (worker->busy > 0 && !worker->page->stop)) {
                struct timespec timeout = worker_timeout(worker, now, next_tick);
                int n = epoll_pwait2(worker->epoll, events, WORKER_EVENTS, &timeout, NULL);

                if (n < 0 && errno != EINTR)
                        return -errno;
                for (int i = 0; i < n; i++)
                        worker_serve(worker, events[i].data.ptr, events[i].events);
                now = clock_now();
                if (now >= worker->end)
                        crew_close_window(worker->plan, now - start);
                worker_catch_up(worker, now);
                if (now >= next_tick) {
                        worker_tick(worker, now);
                        next_tick = now + WORKER_TICK;
                }
        }
        crew_close_window(worker->plan, now - start);
        worker->page->elapsed = now - start;
        return 0;
}

/* Opens the connections that requests are made on, before the time begins to count. */
static int worker_connect(Worker *worker) {
        const LoadPlan *plan = worker->plan;
        int *fds = calloc(plan->connections, sizeof *fds);

        if (fds == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < plan->connections; i++)
                fds[i] = -1;
        if (plan->options->load == LOAD_REQUESTS)
                crew_connect(plan, fds);
        else
                fds[0] = plan->first;
        for (size_t i = 0; i < plan->connections; i++) {
                Slot *slot = &worker->slots[i];

                slot->fd = fds[i] < 0 ? -1 : fds[i];
                slot->place = i * WORKER_STRIDE % WORKER_PLACES;
                if (slot->fd >= 0)
                        worker_watch(worker, slot, EPOLL_CTL_ADD, false);
        }
        if (plan->options->load == LOAD_CONNECTIONS && plan->first >= 0)
                worker->slots[0].setup = plan->setup;
        free(fds);
        return 0;
}

static int worker_work(Worker *worker) {
        const LoadPlan *plan = worker->plan;
        uint64_t start, due;
        int r;

        r = worker_connect(worker);
        if (r < 0)
                return r;
        start = crew_start(plan);
        if (start == 0)
                return 0;
        worker->end = start + plan->options->duration;
        worker->schedule = (Schedule){ .start = start,
                                       .rate = plan->options->rate,
                                       .index = plan->index,
                                       .workers = plan->workers,
                                       .connections = plan->options->connections,
                                       .own = plan->connections };

        r = worker_loop(worker, start);
        /* What was due in time and has not been begun. */
        if (r == 0 && plan->options->rate > 0) {
                due = schedule_count(&worker->schedule, worker->end - start);
                plan->page->overdue = due > worker->next ? due - worker->next : 0;
        }
        return r;
}

int worker_run(const LoadPlan *plan) {
        Worker *worker = calloc(1, sizeof *worker);
        size_t size = plan->options->size + WORKER_PLACES;
        Pattern pattern;
        int r;

        if (worker == NULL)
                return -ENOMEM;
        worker->plan = plan;
        worker->options = plan->options;
        worker->page = plan->page;
        worker->epoll = epoll_create1(EPOLL_CLOEXEC);
        worker->slots = calloc(plan->connections, sizeof *worker->slots);
        worker->idle = calloc(plan->connections, sizeof(Slot *));
        worker->messages = malloc(size);
        if (worker->epoll < 0 || worker->slots == NULL || worker->idle == NULL ||
            worker->messages == NULL) {
                r = -ENOMEM;
        } else {
                pattern_init(&pattern);
                pattern_fill(&pattern, 0, worker->messages, size);
                r = worker_work(worker);
        }
        if (worker->epoll >= 0)
                close(worker->epoll);
        free(worker->messages);
        free(worker->idle);
        free(worker->slots);
        free(worker);
        return r;
}
