/* SPDX-License-Identifier: MIT */
/*
 * Puts the three standard descriptors in order. A closed one is filled with /dev/null, so that no
 * socket becomes stdout by accident; a client's socket on stdout or stderr is replaced, so that no
 * message can reach the client.
 */
#include "lib/stdfds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int stdfds_fill(void) {
        int fd;

        /* open(2) takes the lowest number that is free. */
        do {
                fd = open("/dev/null", O_RDWR);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO);
        close(fd);
        return 0;
}

static bool descriptor_is_stdin(int fd) {
        struct stat one, other;

        return fstat(fd, &one) == 0 && fstat(STDIN_FILENO, &other) == 0 && S_ISSOCK(one.st_mode) &&
               one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool stdfds_stderr_is_stdin(void) {
        return descriptor_is_stdin(STDERR_FILENO);
}

int stdfds_detach(void) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int r = 0;

        if (null < 0)
                return -errno;
        /* Downwards: stdin is what the others are compared with. */
        for (int fd = STDERR_FILENO; fd >= STDIN_FILENO; fd--)
                if ((fd == STDIN_FILENO || descriptor_is_stdin(fd)) && dup2(null, fd) < 0)
                        r = -errno;
        close(null);
        return r;
}
