/* SPDX-License-Identifier: MIT */
#pragma once

#include <signal.h>

#include "report/record.h"

/* A number of its own for each member, so that none is taken for another. */
static const Record whole = {
        .peer = "192.0.2.7:51234",
        .proxy = "[::1]:4242",
        .listener = "[::]:7",
        .listener_name = "echo",
        .reason = "closed by peer",
        .limit = "max-per-source",
        .sentence = "Something failed",
        .handler_pid = 101,
        .bytes = 102,
        .duration = 1234567890,
        .signal = SIGKILL,
        .error = 24,
        .descriptor = 104,
        .live = 105,
        .peak = 106,
        .served = 107,
        .accepted = 108,
        .closed = 109,
        .crashed = 110,
        .refused = 111,
        .lost = 112,
        .max_connections = 113,
        .limit_value = 114,
        .answered = 115,
        .dropped = 116,
        .refused_by = { 0, 117, 118, 119, 120, 121, 122 },
        .datagram_sockets = 2,
        .datagrams_answered = 123,
        .datagrams_refused = 124,
        .datagrams_dropped = 125,
};
