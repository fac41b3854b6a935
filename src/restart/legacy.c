/* SPDX-License-Identifier: MIT */
/*
 * Reads the unsent bytes that mpecho 0.1.0 stored, so that an upgrade loses none. It stored
 * connections and bytes apart, under one name each without the number of a run: a memfd with the
 * cookie of its connection in the first 8 bytes, or a bundle of such memfds.
 *
 * Nothing that this version stores may be matched like that: a handler could put bytes into
 * another's connection.
 */
#include "restart/legacy.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "restart/bundle.h"
#include "restart/unsent.h"

bool legacy_is_unsent(int fd) {
        int fds[BUNDLE_MOST], n = bundle_open(fd, fds);
        struct stat status;

        for (int i = 0; i < n; i++)
                close(fds[i]);
        return n > 0 || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode));
}

/* Returns the bytes of the memfd @fd as a memfd of today; -ENOENT when they are another's, or
 * another negative errno. */
static int legacy_convert(int fd, uint64_t cookie) {
        static char buffer[256 * 1024];
        uint64_t found = 0;
        ssize_t n;
        int r;

        n = pread(fd, &found, sizeof found, 0);
        /* A bundle is a socket. */
        if (n < 0 && errno != ESPIPE)
                return -errno;
        if (n != sizeof found || found != cookie)
                return -ENOENT;
        n = pread(fd, buffer, sizeof buffer, sizeof found);
        if (n < 0)
                return -errno;
        r = n > 0 ? unsent_new(buffer, (size_t)n) : -ENOENT;
        /* All handlers inherit the buffer. */
        explicit_bzero(buffer, sizeof buffer);
        return r;
}

int legacy_find_unsent(int fd, uint64_t cookie) {
        int fds[BUNDLE_MOST], n, unsent;

        unsent = legacy_convert(fd, cookie);
        n = bundle_open(fd, fds);
        if (n < 0 && n != -ENOTSOCK && unsent == -ENOENT)
                return n;
        while (n-- > 0) {
                if (unsent == -ENOENT)
                        unsent = legacy_convert(fds[n], cookie);
                close(fds[n]);
        }
        return unsent;
}
