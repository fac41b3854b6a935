/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/command/client_options.h"
#include "client/network/flow.h"
#include "client/output/report.h"

enum {
        /* The datagrams of one size, if none passes. */
        PROBE_ATTEMPTS = 4,
};

/* The fate of a size. */
enum {
        PROBE_LOST,
        PROBE_PASSED,
        /* No repetition helps: this machine does not send it, or the answer came in fragments. */
        PROBE_REFUSED,
};

/* The reason why a size did not pass. */
typedef struct ProbeReason {
        bool announced; /* an ICMP error named a smaller MTU, or the answer came in fragments */
        bool changed;   /* the answer had other bytes */
        Rejection rejection; /* another error; its errno is 0 for none */
} ProbeReason;

/* The datagrams of a search. The caller provides the first four members, @changed SIZE_MAX and the
 * rest 0. */
typedef struct Probe {
        const ClientOptions *options;
        Report *report;
        Flow flow;
        size_t headers; /* the bytes of the headers of a packet */
        /* The largest size that fits by the last ICMP error, and the MTU in it; 0 for none. */
        size_t hint;
        size_t named;
        uint64_t shortest;  /* the shortest round trip; 0 before the first */
        ProbeReason reason; /* of the last size */
        /* The smallest size of which an answer came back changed; SIZE_MAX for none. */
        size_t changed;
        /* The number behind that of the datagram that was rejected last; 0 for none. */
        uint64_t rejected;
} Probe;

/*
 * probe_make: Sends datagrams of @size bytes, at most PROBE_ATTEMPTS, until one passes or no
 * repetition helps. Sets the reason of @probe anew, in any case.
 *
 * Returns a value of the enum above; -EINTR after the interrupt, or a negative errno of poll(2).
 */
int probe_make(Probe *probe, size_t size);

/* probe_catch_up: Takes what came about earlier datagrams, and the errors of this machine. */
void probe_catch_up(Probe *probe);
