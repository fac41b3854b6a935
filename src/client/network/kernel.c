/* SPDX-License-Identifier: MIT */
/*
 * Collects the kernel's figures of the connections of a run (TCP_INFO, tcp(7)).
 *
 * They show the network's part of a round trip, and the segments lost on the way, which an echo
 * hides. Of several connections it keeps the figures of the last one, and the retransmits of all.
 *
 * The kernel's figures must never enter the client's own times: they are a second opinion. Only it
 * knows, though, when bytes came that the client reads later. Then the wait for a processor is no
 * part of a round trip. Sockets other than TCP have no figures.
 */
#include "client/network/kernel.h"

/* glibc's netinet/tcp.h knows no counts of segments. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/clock.h"

void kernel_add(Kernel *kernel, const Kernel *other) {
        uint64_t retransmits = kernel->retransmits + other->retransmits;
        uint64_t segments = kernel->segments + other->segments;

        if (other->known)
                *kernel = *other;
        kernel->retransmits = retransmits;
        kernel->segments = segments;
}

void kernel_note(Kernel *kernel, int fd) {
        struct tcp_info info = {};

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info }) < 0)
                return;
        /* Without a sample of the round trip the figures are the kernel's initial values. */
        kernel_add(kernel,
                   &(Kernel){ .known = info.tcpi_rtt > 0,
                              .rtt = info.tcpi_rtt * CLOCK_MICROSECOND,
                              .rtt_variance = info.tcpi_rttvar * CLOCK_MICROSECOND,
                              .mss = info.tcpi_snd_mss,
                              .congestion_window = info.tcpi_snd_cwnd,
                              .retransmits = info.tcpi_total_retrans,
                              .segments = 1 + info.tcpi_data_segs_out - info.tcpi_unacked });
}

/* Sets @ret_age to the nanoseconds since the last bytes came, and @ret_tick to those of a tick of
 * the kernel. Bytes may be older or younger by one tick. Returns false on any socket but TCP. */
static bool kernel_get_age(int fd, uint64_t *ret_age, uint64_t *ret_tick) {
        struct tcp_info info = {};
        struct timespec tick = {};

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info }) < 0)
                return false;
        (void)clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
        *ret_age = info.tcpi_last_data_recv * CLOCK_MILLISECOND;
        *ret_tick = (uint64_t)tick.tv_nsec;
        return true;
}

bool kernel_came_late(int fd, uint64_t now, uint64_t deadline) {
        uint64_t age, tick;

        return now >= deadline && kernel_get_age(fd, &age, &tick) && now - deadline >= age + tick;
}

uint64_t kernel_arrival(int fd, uint64_t since, uint64_t now) {
        uint64_t age, tick;

        if (now - since < KERNEL_STALL || !kernel_get_age(fd, &age, &tick))
                return now;
        /* Older bytes came over another subflow (Multipath TCP) or are those of the last answer. */
        return age > tick && age - tick <= now - since ? now - (age - tick) : now;
}
