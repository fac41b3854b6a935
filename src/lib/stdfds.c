/* SPDX-License-Identifier: MIT */
/*
 * Puts the three standard descriptors in order, whatever the parent has made of them.
 *
 * A parent can leave some closed. open(2) returns the lowest free number, so the next socket would
 * become stdout and receive the text of --help. The replacements of stdin and stdout are open in
 * the wrong direction: each use is an error, and no data vanish silently. An inetd connects all
 * three to the client, which must neither read error messages nor lose its own copy of the socket
 * when stdin is closed. systemd connects two to journald: a handler could send it descriptors, and
 * journald would wait while it closes them.
 *
 * So stdfds_fill() runs before anything opens a descriptor, and stdfds_detach() after the program
 * has duplicated the client's socket. Nothing here may close a descriptor without a replacement.
 */
#include "lib/stdfds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int stdfds_fill(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 &&
                    (fd == STDOUT_FILENO ? open("/dev/null", O_RDONLY)
                                         : open("/dev/null", O_WRONLY)) < 0)
                        return -errno;
        return 0;
}

static bool descriptor_is_socket(int fd) {
        struct stat status;

        return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

bool stdfds_stderr_is_stdin(void) {
        struct stat one, other;

        return fstat(STDERR_FILENO, &one) == 0 && fstat(STDIN_FILENO, &other) == 0 &&
               S_ISSOCK(one.st_mode) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

int stdfds_detach(void) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int r = 0;

        if (null < 0)
                return -errno;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if ((fd == STDIN_FILENO || descriptor_is_socket(fd)) && dup2(null, fd) < 0)
                        r = -errno;
        close(null);
        return r;
}
