/* SPDX-License-Identifier: MIT */
#include "restart/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "report/notification.h"

/* A handler may be told to stop again, by systemd and by its master, while it gives its connection
 * away: what a signal interrupts is done again. */

/* The manager may have much to do; giving up loses connections. */
#define BARRIER_PATIENCE (20 * CLOCK_SECOND)

static int store_tell(const char *message, const int *fds, size_t n) {
        Endpoint manager;
        int fd, r;

        fd = notification_open(&manager);
        if (fd < 0)
                return fd;
        r = notification_send(fd, &manager, message, fds, n, 0);
        close(fd);
        return r;
}

int store_put(const char *name, const int *fds, size_t n) {
        char message[128];

        snprintf(message, sizeof message, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        return store_tell(message, fds, n);
}

void store_remove(const char *name) {
        char message[128];

        snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        (void)store_tell(message, NULL, 0);
}

/* Waits for the other end of the pipe @fd to be closed. */
static int wait_for_hangup(int fd) {
        const uint64_t deadline = clock_now() + BARRIER_PATIENCE;
        struct pollfd end = { .fd = fd };

        for (uint64_t now = clock_now(); now < deadline; now = clock_now()) {
                const uint64_t wait = deadline - now;
                const struct timespec timeout = { .tv_sec = (time_t)(wait / CLOCK_SECOND),
                                                  .tv_nsec = (long)(wait % CLOCK_SECOND) * 1000 };
                int n = ppoll(&end, 1, &timeout, NULL);

                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
        return -ETIMEDOUT;
}

int store_barrier(void) {
        int ends[2], r;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        r = store_tell("BARRIER=1", &ends[1], 1);
        close(ends[1]);
        if (r == 0)
                r = wait_for_hangup(ends[0]);
        close(ends[0]);
        return r;
}

uint64_t store_limit(void) {
        const char *text = getenv("FDSTORE");
        uint64_t limit;

        return text != NULL && number_parse(text, 0, UINT64_MAX, &limit) == 0 ? limit : UINT64_MAX;
}

bool store_has_name(const char *name) {
        return name != NULL &&
               (strcmp(name, STORE_CONNECTION) == 0 || strcmp(name, STORE_PENDING) == 0 ||
                strcmp(name, STORE_ROSTER) == 0 || strcmp(name, STORE_ROSTER_OTHER) == 0);
}
