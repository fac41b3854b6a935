/* SPDX-License-Identifier: MIT */
/*
 * Hostile code in a handler: a library that the test preloads into mpecho. When a peer sends
 * "HOSTILE attack number...", the handler that reads it makes the attack and answers with a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char argument[256];

static double now(void) {
        struct timespec time;

        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Connects to the abstract address in the argument. */
static int connect_to_master(void) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        const size_t length = strlen(argument);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        memcpy(name.sun_path + 1, argument, length);
        if (fd >= 0 &&
            connect(fd, (struct sockaddr *)&name,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0)
                return fd;
        close(fd);
        return -1;
}

/* How many of the processes in the argument have memory that this one can open or read. */
static int read_memory(void) {
        int could = 0;
        char byte, path[64];
        char *rest = NULL;

        for (char *pid = strtok_r(argument, " ", &rest); pid != NULL;
             pid = strtok_r(NULL, " ", &rest)) {
                struct iovec local = { &byte, 1 }, remote = { &byte, 1 };

                snprintf(path, sizeof path, "/proc/%s/mem", pid);
                could += open(path, O_RDWR) >= 0;
                could += syscall(SYS_process_vm_readv, atoi(pid), &local, 1L, &remote, 1L, 0L) > 0;
        }
        return could;
}

/* Overwrites all that it shares with the master. */
static int scribble(void) {
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        int written = 0;

        while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
                void *start, *end;

                if (strstr(line, "rw-s") == NULL || sscanf(line, "%p-%p", &start, &end) != 2)
                        continue;
                for (volatile unsigned char *at = start; at != end; at++)
                        *at = (unsigned char)((uintptr_t)at * 2654435761UL >> 16);
                written++;
        }
        return written;
}

static int attack(const char *name) {
        const double end = now() + 3;
        int n = 0;

        if (strcmp(name, "memory") == 0)
                return read_memory();
        if (strcmp(name, "scribble") == 0)
                return scribble();
        if (strcmp(name, "exit") == 0)
                _exit(atoi(argument));
        if (strcmp(name, "silent") == 0)
                return connect_to_master();
        for (; now() < end; n++) {
                if (strcmp(name, "knock") == 0)
                        (void)connect_to_master();
                else if (strcmp(name, "signal") == 0)
                        (void)kill(getppid(), atoi(argument));
        }
        return n;
}

ssize_t read(int fd, void *buffer, size_t size) {
        const ssize_t n = syscall(SYS_read, fd, buffer, size);
        char text[512] = "", name[32] = "";
        sigset_t all;

        if (n < 8 || n >= (ssize_t)sizeof text || memcmp(buffer, "HOSTILE ", 8) != 0)
                return n;
        memcpy(text, buffer, (size_t)n);
        (void)sscanf(text, "HOSTILE %31s %255[^\n]", name, argument);
        if (strcmp(name, "deaf") == 0) {
                (void)sigfillset(&all);
                (void)sigprocmask(SIG_BLOCK, &all, NULL);
                for (;;) {
                        (void)connect_to_master();
                        (void)poll(NULL, 0, 1000);
                }
        }
        return snprintf(buffer, size, "%d\n", attack(name));
}
