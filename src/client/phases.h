/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Phases Phases;

/*
 * Sums of nanoseconds: of @connections, from the request for a connection to the connection; of
 * @answers, from the beginning of the sending to the first byte of the answer, and from there to
 * its last.
 */
struct Phases {
        uint64_t connections;
        uint64_t connect;
        uint64_t answers;
        uint64_t first;
        uint64_t last;
};
