/* SPDX-License-Identifier: MIT */
/* Echoing by read(2) and write(2), through a buffer as large as mpecho's. */
#include <unistd.h>

#include "peer.h"

static char buffer[256 * 1024];

void peer_echo(int fd) {
        ssize_t size;

        while ((size = read(fd, buffer, sizeof buffer)) > 0) {
                for (ssize_t done = 0, n; done < size; done += n) {
                        n = write(fd, buffer + done, (size_t)(size - done));
                        if (n < 0)
                                return;
                }
        }
}
