/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/network/connection.h"
#include "client/output/flow_result.h"
#include "client/run/trip.h"
#include "client/value/phases.h"

/* The values that all flows share. */
typedef struct LaneSettings {
        Endpoint endpoint;
        ConnectionOptions connection;
        /* The longest wait for an answer; 0 for no limit. */
        uint64_t timeout;
        Phases phases;
} LaneSettings;

/*
 * Round trips over TCP from one local port, one after the other, without waiting. A connection that
 * fails is replaced by one from the same port, so that it remains the same flow.
 *
 * Contract: The caller sets @result with its port, and @trip with its buffers, size and fd -1. It
 * calls lane_begin() while the lane is not @busy, then lane_advance() when the descriptor is ready
 * or at @end, and at last lane_close().
 */
typedef struct Lane {
        FlowResult *result;
        Trip trip;
        bool busy;
        bool connecting;
        /* The instants of the beginning and the end of what is under way: a connection, then a
         * round trip. */
        uint64_t start;
        uint64_t end;
        /* Retransmits of this connection until it came about, and until this round trip. */
        uint64_t handshake;
        uint64_t retransmits;
} Lane;

/*
 * lane_begin: Begins a round trip with the message in the buffer; connects first without a
 * connection.
 *
 * Returns 0 when it is under way, or fails like lane_advance().
 */
int lane_begin(Lane *lane, LaneSettings *settings);

/*
 * lane_advance: Advances the round trip that is under way.
 *
 * Returns -EAGAIN while it lasts. Returns 0 at its end and sets @ret_time to its duration without
 * the connection's setup. Returns a negative errno when it failed: -ETIME at its end, -EBADMSG for
 * a wrong answer, -EPIPE when the peer closed the connection, or an error of socket(2), bind(2),
 * connect(2), send(2) or recv(2). The lane has no connection then.
 */
int lane_advance(Lane *lane, LaneSettings *settings, uint64_t *ret_time);

/*
 * lane_events: Returns the events of poll(2) that the lane waits for.
 *
 * lane_close: Adds the kernel's counts to the result and resets the connection, so that its port is
 * free at once. Ignores a lane without a connection.
 *
 * lane_count: Returns the packets of a closed lane to judge: its segments. Those that this side or
 * the peer sent again are lost, and one for each failed round trip.
 */
short lane_events(const Lane *lane);
void lane_close(Lane *lane);
FlowCount lane_count(const FlowResult *result);
