/* SPDX-License-Identifier: MIT */
/*
 * Keeps what the kernel has measured of the connections of a run.
 *
 * The kernel's figures have no part in the client's own: they show which part of a round trip is
 * the network's, and whether segments were lost on the way, which no echo shows. Of several
 * connections the last one's figures are kept, and the retransmits of all.
 */
#include "client/kernel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/clock.h"

void kernel_add(Kernel *kernel, const Kernel *other) {
        uint64_t retransmits = kernel->retransmits + other->retransmits;

        if (!other->known)
                return;
        *kernel = *other;
        kernel->retransmits = retransmits;
}

void kernel_note(Kernel *kernel, int fd) {
        struct tcp_info info = {};

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info }) < 0)
                return;
        kernel_add(kernel, &(Kernel){ .known = true,
                                      .rtt = info.tcpi_rtt * CLOCK_MICROSECOND,
                                      .rtt_variance = info.tcpi_rttvar * CLOCK_MICROSECOND,
                                      .mss = info.tcpi_snd_mss,
                                      .congestion_window = info.tcpi_snd_cwnd,
                                      .retransmits = info.tcpi_total_retrans });
}
