/* SPDX-License-Identifier: MIT */
/*
 * bare ADDRESS PORT: the least that an echo server with a process for each connection can do. It
 * accepts, forks, echoes; the kernel reaps. No limits, no records, no time-outs, nothing to stop it
 * but a signal. What it costs is the kernel's, and what mpecho is held against.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "port.h"

enum { BACKLOG = 4096 };

int main(int argc, char **argv) {
        int listener = port_listen(argc, argv, BACKLOG);

        (void)signal(SIGCHLD, SIG_IGN);
        for (;;) {
                int fd = accept(listener, NULL, NULL);

                if (fd < 0)
                        continue;
                if (fork() == 0) {
                        close(listener);
                        peer_echo(fd);
                        _exit(EXIT_SUCCESS);
                }
                close(fd);
        }
}
