/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Kernel Kernel;

/*
 * What the kernel knows of a connection (TCP_INFO, tcp(7)). Nanoseconds and bytes.
 */
struct Kernel {
        /* Whether there was a TCP connection. */
        bool known;
        uint64_t rtt;
        uint64_t rtt_variance;
        uint64_t mss;
        /* Segments. */
        uint64_t congestion_window;
        /* Of all connections that were noted. */
        uint64_t retransmits;
};

/*
 * kernel_note: notes what the kernel knows of the connection @fd, which is about to be closed.
 * Another than a TCP connection changes nothing.
 */
void kernel_note(Kernel *kernel, int fd);

/*
 * kernel_add: notes what was noted in @other.
 */
void kernel_add(Kernel *kernel, const Kernel *other);
