/* SPDX-License-Identifier: MIT */
/*
 * Carries one request at a time over one connection of a load, and judges the answer.
 *
 * Each message is a part of a pseudo-random pattern that begins at another place each time
 * (slots.c): the answer to another request, or of another connection, differs. Bytes that come
 * while the peer owes nothing are surplus, and an error. At its end a connection is half-closed and
 * read to the peer's end, which reveals a surplus after the last answer. With --reset it is reset
 * instead, so that no local port stays in TIME_WAIT.
 *
 * A slot goes from idle to busy, over connecting without a connection, and back; from busy or idle
 * to ending; and from any of these to resting after a failure. The worker decides when a slot
 * begins and ends.
 *
 * Nothing here may wait: TCP connections come about in the background, and a Unix socket whose
 * queue is full gets its next attempt at the next tick. One reading of the clock for each received
 * piece serves all phases.
 */
#include "client/load/slot.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/content/foreign.h"
#include "client/load/crew.h"
#include "client/network/connection.h"
#include "lib/clock.h"
#include "lib/socket.h"

enum {
        /* The reads of a late answer: more than the kernel queues for a socket. */
        SLOT_LAST_READS = 256,
};

static void slot_watch(const Slots *slots, Slot *slot, int operation, bool out) {
        struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | (out ? EPOLLOUT : 0),
                                     .data.ptr = slot };

        slot->wants_out = out;
        (void)epoll_ctl(slots->epoll, operation, slot->fd, &event);
}

void slot_adopt(const Slots *slots, Slot *slot, int fd) {
        slot->fd = fd;
        slot_watch(slots, slot, EPOLL_CTL_ADD, false);
}

static void slot_close(const Slots *slots, Slot *slot) {
        if (slot->fd < 0)
                return;
        kernel_note(&slots->page->kernel, slot->fd);
        /* No other process has it any more, so this also ends the watch: all workers and their
         * parent close what they inherit before the load begins. */
        close(slot->fd);
        slot->fd = -1;
}

/* Returns whether @slot waits for the peer or the kernel. */
static bool slot_is_busy(const Slot *slot) {
        return slot->state != SLOT_RESTING && slot->state != SLOT_IDLE;
}

static void slot_set_state(Slots *slots, Slot *slot, SlotState state) {
        slots->busy -= slot_is_busy(slot) ? 1 : 0;
        slot->state = state;
        slots->busy += slot_is_busy(slot) ? 1 : 0;
}

static void slot_fail(Slots *slots, Slot *slot, int error) {
        crew_fail(slots->page, error);
        slot_close(slots, slot);
        slot_set_state(slots, slot, SLOT_RESTING);
}

static uint64_t slot_deadline(uint64_t timeout, uint64_t now) {
        return timeout == 0 ? CLOCK_NEVER : now + timeout;
}

static int slot_send(Slots *slots, Slot *slot) {
        const uint8_t *message = slots->messages + slot->place;
        const size_t size = slots->options->size;
        ssize_t n;

        if (slot->sent < size) {
                n = send(slot->fd, message + slot->sent, size - slot->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                slot->sent += n > 0 ? (size_t)n : 0;
                slots->page->bytes_sent += n > 0 ? (uint64_t)n : 0;
        }
        if (slot->wants_out != (slot->sent < size))
                slot_watch(slots, slot, EPOLL_CTL_MOD, !slot->wants_out);
        return 0;
}

/* Sends the request over a connection that is open since @now. */
static int slot_start(Slots *slots, Slot *slot, uint64_t now) {
        slot->connected = now;
        slot->deadline = slot_deadline(slots->options->timeout, now);
        slot_set_state(slots, slot, SLOT_BUSY);
        return slot_send(slots, slot);
}

/* Sends the request over a connection that has just come about. */
static int slot_start_first(Slots *slots, Slot *slot) {
        int r;

        crew_count_connection(slots->page, slot->begun);
        r = proxy_header_send(&slots->options->connection.proxy_header, slot->fd);
        return r < 0 ? r : slot_start(slots, slot, clock_now());
}

/* Connects. Returns 0 also while the connection is under way or needs another attempt. */
static int slot_connect(Slots *slots, Slot *slot) {
        bool pending = false;
        int fd;

        fd = connection_begin(slots->plan->peer, &slots->options->connection, &pending);
        if (fd == -EAGAIN)
                return 0;
        if (fd < 0)
                return fd;

        slot->fd = fd;
        slot_watch(slots, slot, EPOLL_CTL_ADD, pending);
        if (pending)
                return 0;
        return slot_start_first(slots, slot);
}

void slot_begin(Slots *slots, Slot *slot, uint64_t due) {
        uint64_t now = clock_now();
        int r;

        /* A connection that found the address before the load began has taken its time, too. */
        slot->due = due - slot->setup;
        slot->setup = 0;
        slot->begun = now;
        slot->sent = slot->received = 0;
        slot->place = (slot->place + 1) % SLOT_PLACES;
        if (slot->fd >= 0) {
                r = slot_start(slots, slot, now);
        } else {
                slots->page->reconnects += slots->options->load == LOAD_REQUESTS ? 1 : 0;
                slot->deadline = slot_deadline(slots->options->connection.timeout, now);
                slot_set_state(slots, slot, SLOT_CONNECTING);
                r = slot_connect(slots, slot);
        }
        if (r < 0)
                slot_fail(slots, slot, -r);
}

void slot_end(Slots *slots, Slot *slot, uint64_t now) {
        if (slot->fd < 0) {
                slot_set_state(slots, slot, SLOT_RESTING);
                return;
        }
        slot->deadline = slot_deadline(slots->options->timeout, now);
        slot_set_state(slots, slot, SLOT_ENDING);
        (void)shutdown(slot->fd, SHUT_WR);
}

static void slot_count(const Slots *slots, const Slot *slot) {
        const uint64_t first = clock_earlier(slot->first, slot->last);
        Phases *phases = &slots->page->phases;

        slots->page->answered++;
        histogram_record(&slots->page->latency, slot->last - slot->due);
        phases->answers++;
        phases->first += first - slot->connected;
        phases->last += slot->last - first;
}

/* Ends a connection after its only answer. Returns whether the slot is free. */
static bool slot_finish(Slots *slots, Slot *slot) {
        if (!slots->options->reset) {
                slot_end(slots, slot, clock_now());
                return false;
        }
        socket_set_reset(slot->fd);
        slot_close(slots, slot);
        slot_count(slots, slot);
        slot_set_state(slots, slot, SLOT_IDLE);
        return true;
}

/* Receives into the buffer; returns how many bytes, 0 for none, or -EPIPE at the peer's end. */
static ssize_t slot_take(Slots *slots, const Slot *slot) {
        ssize_t n = recv(slot->fd, slots->buffer, sizeof slots->buffer, MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EPIPE;
        slots->page->bytes_received += (uint64_t)n;
        return n;
}

/* Examines @n wrong bytes at the beginning of an answer. A service that has answered correctly once
 * is an echo service. */
static void slot_judge(const Slots *slots, const Slot *slot, size_t n) {
        if (slots->page->answered == 0 && slot->received == 0)
                (void)foreign_describe(slots->buffer, slots->messages + slot->place,
                                       n < slots->options->size ? n : slots->options->size,
                                       slots->page->foreign);
}

static int slot_receive(Slots *slots, Slot *slot) {
        const uint8_t *expected = slots->messages + slot->place + slot->received;
        ssize_t n = slot_take(slots, slot);

        if (n <= 0)
                return (int)n;
        slot->last = clock_now();
        if (slot->received == 0)
                slot->first = slot->last;
        /* More than was sent is as wrong as something else. */
        if ((size_t)n > slot->sent - slot->received ||
            memcmp(slots->buffer, expected, (size_t)n) != 0) {
                slot_judge(slots, slot, (size_t)n);
                return -EBADMSG;
        }
        slot->received += (size_t)n;
        if (kernel_came_late(slot->fd, slot->last, slot->deadline))
                return -ETIME;
        if (slot->received == slots->options->size)
                slot->last = kernel_arrival(slot->fd, slot->connected, slot->last);
        return 0;
}

/* Ends a request at its deadline. Its time counts: it waited as long as any. */
static void slot_give_up(Slots *slots, Slot *slot, uint64_t now) {
        if (slot->state == SLOT_ENDING)
                slots->page->unclosed++;
        else
                histogram_record(&slots->page->latency, now - slot->due);
        slot_fail(slots, slot, ETIME);
}

/* Handles events of an idle slot, whose peer may only close. The slot stays idle and connects again
 * for its next request. */
static void slot_serve_idle(Slots *slots, Slot *slot) {
        ssize_t n = slot_take(slots, slot);

        if (n == 0)
                return;
        if (n > 0) {
                slot->received = 0;
                slot_judge(slots, slot, (size_t)n);
        }
        if (n != -EPIPE)
                crew_fail(slots->page, n > 0 ? EBADMSG : (int)-n);
        slot_close(slots, slot);
}

/* Counts the answer; @ended if the peer's end came with it. Returns whether the slot is free. */
static bool slot_complete(Slots *slots, Slot *slot, bool ended) {
        if (slots->options->load == LOAD_CONNECTIONS)
                return slot_finish(slots, slot);
        slot_count(slots, slot);
        slot_set_state(slots, slot, SLOT_IDLE);
        /* The next request must not go to a peer that has left. */
        if (ended)
                slot_serve_idle(slots, slot);
        return true;
}

static bool slot_serve_busy(Slots *slots, Slot *slot, uint32_t events) {
        int r = 0;

        if (slot->state == SLOT_CONNECTING) {
                /* A writable socket is connected; only a failure needs a check. */
                if ((events & (EPOLLERR | EPOLLHUP)) != 0)
                        r = connection_finish(slot->fd);
                if (r == 0)
                        r = slot_start_first(slots, slot);
        } else if ((events & EPOLLOUT) != 0) {
                r = slot_send(slots, slot);
        }
        if (r == 0 && (events & ~(uint32_t)EPOLLOUT) != 0)
                r = slot_receive(slots, slot);
        if (r == -ETIME)
                slot_give_up(slots, slot, slot->last);
        else if (r < 0)
                slot_fail(slots, slot, -r);
        return r == 0 && slot->received == slots->options->size &&
               slot_complete(slots, slot, (events & EPOLLRDHUP) != 0);
}

static bool slot_serve_ending(Slots *slots, Slot *slot) {
        ssize_t n = slot_take(slots, slot);

        if (n == 0)
                return false;
        if (n != -EPIPE) {
                slot_fail(slots, slot, n > 0 ? EBADMSG : (int)-n);
                return false;
        }
        slot_close(slots, slot);
        if (slots->options->load == LOAD_CONNECTIONS)
                slot_count(slots, slot);
        slot_set_state(slots, slot, SLOT_IDLE);
        return true;
}

bool slot_serve(Slots *slots, Slot *slot, uint32_t events) {
        if (slot->state == SLOT_ENDING)
                return slot_serve_ending(slots, slot);
        if (slot_is_busy(slot))
                return slot_serve_busy(slots, slot, events);
        slot_serve_idle(slots, slot);
        return false;
}

static bool slot_is_late(const Slot *slot, uint64_t now) {
        return slot_is_busy(slot) && now >= slot->deadline;
}

bool slot_look(Slots *slots, Slot *slot) {
        bool idle = false;

        for (int i = 0; i < SLOT_LAST_READS && slot_is_busy(slot); i++) {
                if (slot->state == SLOT_CONNECTING ? !socket_is_writable(slot->fd)
                                                   : !socket_is_readable(slot->fd))
                        break;
                idle = slot_serve(slots, slot, EPOLLIN | EPOLLERR);
        }
        return idle;
}

bool slot_expire(Slots *slots, Slot *slot, uint64_t now) {
        const bool idle = slot_is_late(slot, now) && slot_look(slots, slot);

        if (slot_is_late(slot, now))
                slot_give_up(slots, slot, now);
        return idle;
}

bool slot_tick(Slots *slots, Slot *slot) {
        int r = 0;

        if (slot->state == SLOT_CONNECTING && slot->fd < 0)
                r = slot_connect(slots, slot);
        if (r < 0)
                slot_fail(slots, slot, -r);
        return slot->state == SLOT_CONNECTING && slot->fd < 0;
}
