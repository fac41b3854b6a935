/* SPDX-License-Identifier: MIT */
/*
 * Carries unwritten bytes from one handler to the next. A handler that stops with bytes in its
 * buffer writes them to a memfd, which goes with the connection through the master and systemd's
 * descriptor store. The next handler takes them out and writes them first.
 *
 * A master that is killed while it restores leaves its bundles in the store, so the same memfd can
 * reach two handlers. The first one empties it before it writes a byte to the peer. The second one
 * finds it empty, knows that the stream has a hole, and must reset the connection. Nothing here may
 * return part of the bytes.
 */
#include "restart/unsent.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mapping.h"

int unsent_new(const char *data, size_t size) {
        int fd;

        fd = mapping_new_file("mpecho-unsent");
        if (fd < 0)
                return fd;
        if (pwrite(fd, data, size, 0) != (ssize_t)size) {
                close(fd);
                return -ENOSPC;
        }
        return fd;
}

bool unsent_is_file(int fd) {
        struct stat status;

        return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t unsent_take(int fd, char *buffer, size_t size) {
        struct stat status;
        ssize_t n;

        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return -EBADMSG;
        if (status.st_size == 0)
                return -ENODATA;
        if ((uint64_t)status.st_size > size)
                return -EFBIG;

        n = pread(fd, buffer, (size_t)status.st_size, 0);
        if (n != status.st_size)
                return n < 0 ? -errno : -EIO;
        if (ftruncate(fd, 0) < 0)
                return -errno;
        return n;
}
