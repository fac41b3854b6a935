/* SPDX-License-Identifier: MIT */
/*
 * bare-datagram ADDRESS PORT: the plainest echo on datagrams, recvfrom(2) and sendto(2). It answers
 * everybody, from the address that the kernel chooses.
 */
#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "port.h"

int main(int argc, char **argv) {
        static char buffer[64 * 1024];
        const int fd = port_receive(argc, argv);

        for (;;) {
                struct sockaddr_storage peer;
                socklen_t length = sizeof peer;
                const ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer,
                                           &length);

                if (n >= 0)
                        (void)sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer, length);
        }
}
