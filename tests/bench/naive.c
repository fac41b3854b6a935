/* SPDX-License-Identifier: MIT */
/*
 * naive ADDRESS PORT: a forking echo server as a first lesson has it, and the bad example here. Its
 * backlog holds 5 connections and its buffer 30 bytes, write(2) may fall short, and each SIGCHLD
 * reaps one zombie although one signal may stand for many children.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port.h"

enum { BACKLOG = 5, BUFFER_SIZE = 30 };

static void reap(int number) {
        (void)number;
        (void)waitpid(-1, NULL, WNOHANG);
}

int main(int argc, char **argv) {
        int listener = port_listen(argc, argv, BACKLOG);

        (void)sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = reap }, NULL);
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                pid_t pid;

                if (fd < 0)
                        continue;
                pid = fork();
                if (pid == 0) {
                        char buffer[BUFFER_SIZE];
                        ssize_t size;

                        close(listener);
                        while ((size = read(fd, buffer, sizeof buffer)) > 0)
                                (void)!write(fd, buffer, (size_t)size);
                        close(fd);
                        return EXIT_SUCCESS;
                }
                close(fd);
        }
}
