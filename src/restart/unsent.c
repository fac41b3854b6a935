/* SPDX-License-Identifier: MIT */
#include "restart/unsent.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/handover.h"

int pending_new(int connection, const char *data, size_t size) {
        const uint64_t cookie = socket_cookie(connection);
        int fd, r = 0;

        fd = memfd_create(STORE_PENDING, MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (pwrite(fd, &cookie, sizeof cookie, 0) != sizeof cookie ||
            pwrite(fd, data, size, sizeof cookie) != (ssize_t)size)
                r = -ENOSPC;
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

ssize_t pending_read(int fd, char *buffer, size_t size, uint64_t *ret_cookie) {
        struct stat status;
        uint64_t cookie;
        ssize_t n;

        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof cookie ||
            (buffer != NULL && (uint64_t)status.st_size > sizeof cookie + size))
                return -EBADMSG;
        if (pread(fd, &cookie, sizeof cookie, 0) != sizeof cookie)
                return -EBADMSG;
        n = buffer != NULL ? pread(fd, buffer, size, sizeof cookie) : 0;
        if (n < 0)
                return -errno;
        *ret_cookie = cookie;
        return n;
}
