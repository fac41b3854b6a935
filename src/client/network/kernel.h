/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"

/* A shorter wait for a processor counts as a part of the round trip: it is within the ticks of the
 * kernel's figures. */
#define KERNEL_STALL (10 * CLOCK_MILLISECOND)

/* The kernel's figures of a connection (TCP_INFO, tcp(7)), in nanoseconds and bytes. */
typedef struct Kernel {
        /* The kernel has measured a round trip of at least one TCP connection. */
        bool known;
        uint64_t rtt;
        uint64_t rtt_variance;
        uint64_t mss;
        uint64_t congestion_window; /* segments */
        /* The sums over all connections. Segments are the first one of each connection and those
         * sent with data, repeated ones too. Those without an acknowledgement yet do not count. */
        uint64_t retransmits;
        uint64_t segments;
} Kernel;

/*
 * kernel_note: Reads the figures of the connection @fd before the caller closes it; only the sums
 * of one without a measured round trip. Ignores any socket but TCP.
 *
 * kernel_add: Adds the sums of @other to @kernel, and takes over its figures if they are known.
 *
 * kernel_came_late: Returns whether the bytes that the caller has read by @now reached this machine
 * at @deadline or later, exact to a tick of the kernel. Returns false on any socket but TCP.
 */
void kernel_note(Kernel *kernel, int fd);
void kernel_add(Kernel *kernel, const Kernel *other);
bool kernel_came_late(int fd, uint64_t now, uint64_t deadline);

/* kernel_arrival: Returns the instant at which the bytes that the caller has read by @now reached
 * this machine, late by two ticks of the kernel at most. @since is the instant of the request.
 * Returns @now within KERNEL_STALL of it, and on any socket but TCP. */
uint64_t kernel_arrival(int fd, uint64_t since, uint64_t now);
