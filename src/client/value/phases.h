/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Sums of nanoseconds. For @connections: from connect(2) to the connection. For @answers: from the
 * first send(2) to the first byte of the answer, and from there to its last byte. */
typedef struct Phases {
        uint64_t connections;
        uint64_t connect;
        uint64_t answers;
        uint64_t first;
        uint64_t last;
} Phases;
