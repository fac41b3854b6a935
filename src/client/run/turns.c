/* SPDX-License-Identifier: MIT */
/*
 * Gives each of several flows its turns: begins the round trip that is due, advances the one under
 * way.
 *
 * A flow has connections (lane.c) or datagrams (flow.c), all flows of a run the same. A connection
 * makes one round trip after the other; one that lasts longer than the interval leaves out the
 * turns meanwhile. A datagram goes out at each turn, whether or not the last one is answered. A
 * turn that comes late does not shift the ones behind it.
 *
 * Each begun round trip must be counted, as ping.c does. A flow that fails never ends the run: the
 * other paths may be well.
 */
#include "client/run/turns.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/network/kernel.h"
#include "lib/clock.h"

enum {
        /* Each flow remembers at least, and at most, this many datagrams. */
        TURNS_REMEMBERED_LEAST = 1 << 14,
        TURNS_REMEMBERED_MOST = 1 << 20,
};

static void turns_prepare_lane(Turns *turns, size_t i) {
        const size_t size = turns->options->size;
        char *message = turns->buffers + 2 * i * size;

        turns->list[i] = (Lane){
                .result = &turns->report->flows[i],
                .trip = { .fd = -1, .message = message, .answer = message + size, .size = size }
        };
}

/* Returns the number of datagrams that a flow remembers: those of two timeouts, so that an answer
 * can also come late. */
static size_t turns_capacity(const ClientOptions *options) {
        uint64_t wanted = TURNS_REMEMBERED_MOST;
        size_t capacity = TURNS_REMEMBERED_LEAST;

        if (options->interval > 0 && options->timeout > 0)
                wanted = 2 * options->timeout / options->interval;
        if (options->count > 0 && options->count < wanted)
                wanted = options->count;
        while (capacity < wanted && capacity < TURNS_REMEMBERED_MOST)
                capacity *= 2;
        return capacity;
}

static int turns_open_datagrams(Turns *turns, size_t i) {
        ConnectionOptions connection = turns->settings.connection;
        bool pending;
        int fd, r;

        connection.port = turns->report->flows[i].port;
        fd = connection_begin(&turns->settings.endpoint, &connection, &pending);
        if (fd < 0)
                return fd;
        r = flow_init(&turns->datagrams[i], fd, turns->payload, i, turns_capacity(turns->options),
                      turns->options->timeout, !turns->options->dont_fragment);
        if (r < 0)
                close(fd);
        else
                turns->datagrams[i].end = turns->end;
        return r;
}

int turns_open(Turns *turns, size_t i) {
        if (turns->payload != NULL)
                return turns_open_datagrams(turns, i);
        turns_prepare_lane(turns, i);
        return 0;
}

static void turns_describe(const Turns *turns, const Lane *lane, int error) {
        Report *report = turns->report;
        FailureKind kind = failure_kind_from_errno(error);

        report->errors[kind]++;
        /* A service that has answered correctly once is an echo service. */
        if (error == EBADMSG && report->latency.count == 0)
                (void)foreign_describe(lane->trip.answer, lane->trip.message, lane->trip.received,
                                       report->foreign);
        if (kind == FAILURE_LOCAL && report->failure.kind == FAILURE_NONE)
                failure_set(&report->failure, -error, "Cannot connect from source port %hu: %s",
                            lane->result->port, strerror(error));
}

/* Counts the round trip of flow @i, which took @time or failed with @r. Sets when the flow is due
 * again: at its next turn, or at once without an interval. */
static void turns_settle(Turns *turns, size_t i, int r, uint64_t time) {
        const uint64_t interval = turns->options->interval, now = clock_now();
        const Lane *lane = &turns->list[i];
        Report *report = turns->report;

        report->bytes_sent += lane->trip.sent;
        report->bytes_received += lane->trip.received;
        if (r < 0)
                turns_describe(turns, lane, -r);
        else
                histogram_record(&report->latency, time);
        if (interval == 0)
                turns->due[i] = now;
        else
                turns->due[i] += ((now - turns->due[i]) / interval + 1) * interval;
}

static void turns_begin(Turns *turns, size_t i) {
        Lane *lane = &turns->list[i];
        const uint64_t size = turns->options->size;
        uint64_t part = lane->result->sent * turns->count + i;
        int r;

        pattern_fill(&turns->pattern, part * size, (char *)lane->trip.message, size);
        turns->report->attempts++;
        r = lane_begin(lane, &turns->settings);
        if (r < 0)
                turns_settle(turns, i, r, 0);
}

static void turns_advance(Turns *turns, size_t i) {
        uint64_t time = 0;
        int r = lane_advance(&turns->list[i], &turns->settings, &time);

        if (r != -EAGAIN)
                turns_settle(turns, i, r, time);
}

/* Begins or advances the round trip of a connection. Returns whether there is more to do. */
static bool turns_work_lane(Turns *turns, size_t i, uint64_t *wake) {
        const uint64_t count = turns->options->count;
        struct pollfd *polled = &turns->polled[i + 1];
        Lane *lane = &turns->list[i];
        bool more;

        if (lane->busy && (polled->revents != 0 || clock_now() >= lane->end))
                turns_advance(turns, i);
        more = !lane->busy && (count == 0 || lane->result->sent < count);
        if (more && clock_now() >= turns->due[i])
                turns_begin(turns, i);
        *polled = (struct pollfd){ .fd = lane->busy ? lane->trip.fd : -1,
                                   .events = lane_events(lane) };
        if (lane->busy)
                *wake = clock_earlier(*wake, lane->end);
        else if (more)
                *wake = clock_earlier(*wake, turns->due[i]);
        return more || lane->busy;
}

static void turns_take(Turns *turns, size_t i, const FlowEvent *event) {
        const Flow *flow = &turns->datagrams[i];
        Report *report = turns->report;

        if (event->kind != FLOW_ANSWER)
                return;
        report->bytes_received += flow->answer_size;
        if (event->answer.verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(flow, report->foreign);
        if (event->answer.verdict != VOLLEY_ANSWERED)
                return;
        histogram_record(&report->latency, event->answer.time);
        histogram_record(&report->flows[i].latency, event->answer.time);
        if (turns->options->flood)
                turns->due[i] = 0;
}

/* Sends a datagram. While the kernel takes none, the turn passes. */
static void turns_send(Turns *turns, size_t i, uint64_t now) {
        const uint64_t interval = turns->options->interval;
        FlowEvent event;

        if (interval == 0)
                turns->due[i] = now + FLOW_FLOOD;
        else
                turns->due[i] += ((now - turns->due[i]) / interval + 1) * interval;
        if (flow_send(&turns->datagrams[i], now, &event) < 0)
                return;
        turns->report->attempts++;
        if (event.kind == FLOW_REJECTED)
                turns_take(turns, i, &event);
        else
                turns->report->bytes_sent += turns->options->size;
}

/* Sends a datagram if one is due, and takes what came back. No lost answer holds back the next
 * datagram. Returns whether there is more to do. */
static bool turns_work_datagrams(Turns *turns, size_t i, uint64_t *wake) {
        const uint64_t count = turns->options->count, now = clock_now();
        Flow *flow = &turns->datagrams[i];
        FlowEvent event;
        bool more;

        if ((count == 0 || flow->volley.counts.sent < count) && now >= turns->due[i])
                turns_send(turns, i, now);
        for (int j = 0; j < FLOW_BATCH && flow_next(flow, &event); j++)
                turns_take(turns, i, &event);
        more = count == 0 || flow->volley.counts.sent < count;
        turns->polled[i + 1] = (struct pollfd){ .fd = flow->fd, .events = POLLIN };
        *wake = clock_earlier(*wake, volley_deadline(&flow->volley));
        if (more)
                *wake = clock_earlier(*wake, turns->due[i]);
        return more || flow->volley.counts.open > 0;
}

bool turns_work(Turns *turns, uint64_t *ret_wake) {
        bool more = false;

        *ret_wake = turns->end;
        for (size_t i = 0; i < turns->count; i++)
                more |= turns->payload == NULL ? turns_work_lane(turns, i, ret_wake)
                                               : turns_work_datagrams(turns, i, ret_wake);
        return more;
}

/* Does for flow @i what turns_look() does. */
static void turns_look_at(Turns *turns, size_t i) {
        Lane *lane = &turns->list[i];
        FlowEvent event;
        int size = 0;

        if (turns->payload != NULL)
                turns->datagrams[i].end = turns->end;
        while (turns->payload != NULL && flow_next(&turns->datagrams[i], &event))
                turns_take(turns, i, &event);
        if (!lane->busy || lane->connecting)
                return;
        (void)ioctl(lane->trip.fd, FIONREAD, &size);
        if (lane->trip.received + (size_t)size >= lane->trip.size &&
            !kernel_came_late(lane->trip.fd, clock_now(), turns->end))
                turns_advance(turns, i);
}

void turns_look(Turns *turns) {
        for (size_t i = 0; i < turns->count; i++)
                turns_look_at(turns, i);
}

/* Closes a connection. What is under way counts as lost. */
static void turns_close_lane(Turns *turns, size_t i) {
        Lane *lane = &turns->list[i];

        turns->report->errors[FAILURE_INTERRUPTED] += lane->busy;
        turns->report->bytes_sent += lane->busy ? lane->trip.sent : 0;
        turns->report->bytes_received += lane->busy ? lane->trip.received : 0;
        lane_close(lane);
        lane->result->lost = lane->result->sent - lane->result->latency.count;
        lane->result->packets = lane_count(lane->result);
        kernel_add(&turns->report->kernel, &lane->result->kernel);
}

static void turns_close_datagrams(Turns *turns, size_t i) {
        FlowResult *result = &turns->report->flows[i];
        Flow *flow = &turns->datagrams[i];
        const VolleyCounts *counts = &flow->volley.counts;

        result->sent = counts->sent;
        result->late = counts->late;
        result->lost = volley_lost(counts);
        result->failed = result->lost + counts->rejected;
        result->packets =
                        (FlowCount){ .sent = counts->sent - counts->open, .lost = result->failed };
        report_add_flow(turns->report, flow);
        close(flow->fd);
        flow_deinit(flow);
}

void turns_close(Turns *turns) {
        for (size_t i = 0; i < turns->count; i++)
                if (turns->payload == NULL)
                        turns_close_lane(turns, i);
                else
                        turns_close_datagrams(turns, i);
        turns->report->phases = turns->settings.phases;
}

uint64_t turns_failed(const Turns *turns) {
        uint64_t failed = 0;

        for (size_t i = 0; i < turns->count; i++)
                if (turns->payload == NULL)
                        failed += turns->list[i].result->failed;
                else
                        failed += volley_failed(&turns->datagrams[i].volley.counts) +
                                  turns->datagrams[i].volley.counts.unrecognized;
        return failed;
}
