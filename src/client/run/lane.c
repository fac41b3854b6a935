/* SPDX-License-Identifier: MIT */
/*
 * Makes round trips from one local port, whose packets take the same way through parallel paths.
 *
 * TCP repeats lost segments, so an echo never shows a loss. The kernel counts the repetitions of
 * this side (TCP_INFO, tcp(7)). The peer repeats a lost answer, too. This side usually repeats its
 * request then, since the lost answer carried the acknowledgement. Where the peer is faster, only
 * the time shows the loss: no answer takes 200 ms longer than the fastest one, the least
 * retransmission timeout of Linux, without a reason.
 *
 * A flow must never change its port: it would be another flow. Its connections end by a reset,
 * since an orderly end would occupy the port for a minute (TIME_WAIT).
 */
#include "client/run/lane.h"

#include <errno.h>
#include <poll.h>

#include "lib/clock.h"
#include "lib/socket.h"

/* TCP_RTO_MIN of the kernel. */
#define LANE_LATE (200 * CLOCK_MILLISECOND)

static uint64_t lane_retransmits(const Lane *lane) {
        Kernel kernel = {};

        kernel_note(&kernel, lane->trip.fd);
        return kernel.retransmits;
}

void lane_close(Lane *lane) {
        Kernel kernel = {};

        lane->busy = false;
        if (lane->trip.fd < 0)
                return;

        kernel_note(&kernel, lane->trip.fd);
        if (lane->connecting)
                lane->handshake = kernel.retransmits;
        kernel.segments += lane->handshake;
        kernel_add(&lane->result->kernel, &kernel);
        socket_reset(lane->trip.fd);
        lane->trip.fd = -1;
}

FlowCount lane_count(const FlowResult *result) {
        const uint64_t sent = result->kernel.segments;
        const uint64_t lost = result->kernel.retransmits + result->late + result->failed;

        return (FlowCount){ .sent = sent, .lost = lost < sent ? lost : sent };
}

static int lane_fail(Lane *lane, int r) {
        lane->result->failed++;
        lane_close(lane);
        /* The kernel's count lacks the segment without an acknowledgement, which is lost now. */
        if (r == -ETIME && lane->trip.received == 0)
                lane->result->kernel.segments++;
        return r;
}

static int lane_start_trip(Lane *lane, const LaneSettings *settings) {
        Trip *trip = &lane->trip;
        int r;

        lane->start = clock_now();
        lane->end = settings->timeout == 0 ? CLOCK_NEVER : lane->start + settings->timeout;
        lane->retransmits = lane_retransmits(lane);
        r = trip_look(trip);
        if (r == 0)
                r = trip_send(trip);
        return r;
}

static int lane_start_first(Lane *lane, LaneSettings *settings) {
        int r;

        r = proxy_header_send(&settings->connection.proxy_header, lane->trip.fd);
        return r < 0 ? r : lane_start_trip(lane, settings);
}

static int lane_connect(Lane *lane, LaneSettings *settings) {
        int r;

        settings->connection.port = lane->result->port;
        r = connection_begin(&settings->endpoint, &settings->connection, &lane->connecting);
        if (r < 0)
                return r;
        lane->trip.fd = r;
        lane->start = clock_now();
        lane->end = connection_end(&settings->connection, lane->start);
        lane->handshake = 0;
        return lane->connecting ? 0 : lane_start_first(lane, settings);
}

int lane_begin(Lane *lane, LaneSettings *settings) {
        int r;

        lane->result->sent++;
        lane->busy = true;
        lane->trip.sent = lane->trip.received = 0;
        r = lane->trip.fd < 0 ? lane_connect(lane, settings) : lane_start_trip(lane, settings);
        return r < 0 ? lane_fail(lane, r) : 0;
}

short lane_events(const Lane *lane) {
        if (lane->connecting)
                return POLLOUT;
        return (short)(POLLIN | (lane->trip.sent < lane->trip.size ? POLLOUT : 0));
}

/* Begins the round trip once the connection has come about. */
static int lane_finish_connect(Lane *lane, LaneSettings *settings) {
        int r = connection_finish(lane->trip.fd);

        if (r < 0)
                return r;
        lane->connecting = false;
        lane->handshake = lane_retransmits(lane);
        settings->phases.connections++;
        settings->phases.connect += clock_now() - lane->start;
        return lane_start_first(lane, settings);
}

static void lane_finish_trip(Lane *lane, Phases *phases, uint64_t now) {
        FlowResult *result = lane->result;
        const uint64_t first = clock_earlier(lane->trip.first, now), time = now - lane->start;

        lane->busy = false;
        phases->answers++;
        phases->first += first - lane->start;
        phases->last += now - first;
        if (result->latency.count > 0 && time >= result->latency.minimum + LANE_LATE &&
            lane_retransmits(lane) == lane->retransmits)
                result->late++;
        histogram_record(&result->latency, time);
}

int lane_advance(Lane *lane, LaneSettings *settings, uint64_t *ret_time) {
        struct pollfd polled = { .fd = lane->trip.fd, .events = lane_events(lane) };
        Trip *trip = &lane->trip;
        uint64_t now;
        int r = 0;

        if (lane->connecting && poll(&polled, 1, 0) > 0)
                r = lane_finish_connect(lane, settings);
        if (r == 0 && !lane->connecting && trip->sent < trip->size)
                r = trip_send(trip);
        if (r == 0 && !lane->connecting)
                r = trip_receive(trip);
        now = clock_now();
        if (r == 0 && trip->received < trip->size)
                r = now >= lane->end ? -ETIME : -EAGAIN;
        /* More than the answer came with it. An end of the connection concerns the next one. */
        else if (r == 0 && trip_look(trip) == -EBADMSG)
                r = -EBADMSG;
        else if (r == 0 && kernel_came_late(trip->fd, now, lane->end))
                r = -ETIME;
        if (r == -EAGAIN)
                return r;
        if (r < 0)
                return lane_fail(lane, r);
        now = kernel_arrival(trip->fd, lane->start, now);
        lane_finish_trip(lane, &settings->phases, now);
        *ret_time = now - lane->start;
        return 0;
}
