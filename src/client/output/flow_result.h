/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/network/kernel.h"
#include "client/value/histogram.h"
#include "client/value/judgement.h"

/*
 * The result of one flow of --flows.
 */
typedef struct FlowResult {
        /* The local port. */
        in_port_t port;
        /* The flow loses more than the others. */
        bool named;
        /* Round trips begun, and those that failed; the histogram counts the answered ones. The end
         * of the run can leave one without either. */
        uint64_t sent;
        uint64_t failed;
        /* Round trips without an answer; of datagrams, volley_lost(). */
        uint64_t lost;
        /* Answers so late that the peer has sent them again; datagrams answered after the
         * timeout. */
        uint64_t late;
        /* The packets to judge. */
        FlowCount packets;
        /* Of TCP. */
        Kernel kernel;
        Histogram latency;
} FlowResult;
