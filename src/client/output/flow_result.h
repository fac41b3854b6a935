/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/network/kernel.h"
#include "client/value/histogram.h"
#include "client/value/judgement.h"

/* The result of one flow of --flows. */
typedef struct FlowResult {
        in_port_t port; /* the local port */
        bool named;     /* the flow loses more than the others */
        /* Round trips begun, and those that failed; the histogram counts the answered ones. The end
         * of the run can leave one without either. */
        uint64_t sent;
        uint64_t failed;
        uint64_t lost; /* round trips without an answer; of datagrams, volley_lost() */
        /* Answers so late that the peer has sent them again; datagrams answered after the
         * timeout. */
        uint64_t late;
        FlowCount packets; /* the packets to judge */
        /* Of TCP. */
        Kernel kernel;
        Histogram latency;
} FlowResult;
