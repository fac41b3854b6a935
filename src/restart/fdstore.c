/* SPDX-License-Identifier: MIT */
/*
 * Speaks to systemd's descriptor store, in the protocol that sd_notify(3) documents. libsystemd has
 * functions for it, but each opens a socket, which the sandbox refuses (confine.h).
 *
 * systemd finds the service of a message by the process ID of its sender. So the master and the
 * keeper must not exit before systemd has taken their messages. fdstore_barrier() passes the end of
 * a pipe, which systemd closes once it has handled all messages before. Interrupted calls are
 * retried.
 *
 * Names carry the number of the run. Nothing here may remove by a name without one.
 */
#include "restart/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "lib/ppoll.h"
#include "report/notify.h"
#include "restart/bundle.h"

static const char *const prefixes[] = {
        [FDSTORE_CONNECTION] = "mpecho-connection.",
        [FDSTORE_LEDGER] = "mpecho-ledger.",
};

/* Of what the keeper stores for a handler. After a crash there are thousands of such names in
 * LISTEN_FDNAMES, and execve(2) takes no variable of more than 128 KiB: 8,000 names of 15 bytes
 * fit, with their colons. */
static const char prefix_own[] = "h.";

/* Parses the number of a run, and the process ID behind it. */
static bool own_parse(const char *text, uint64_t *ret_run) {
        char copy[FDSTORE_NAME_SIZE];
        uint64_t handler;
        char *dot;

        (void)stpcpy(copy, text);
        dot = strchr(copy, '.');
        if (dot == NULL)
                return false;
        *dot = '\0';
        return number_parse(dot + 1, 1, INT32_MAX, &handler) == 0 &&
               number_parse(copy, 1, FDSTORE_RUN_MOST, ret_run) == 0;
}

FdstoreKind fdstore_parse_name(const char *name, uint64_t *ret_run) {
        *ret_run = 0;
        if (name == NULL || strlen(name) >= FDSTORE_NAME_SIZE)
                return FDSTORE_STRANGER;
        for (FdstoreKind kind = FDSTORE_CONNECTION; kind <= FDSTORE_LEDGER; kind++) {
                const size_t length = strlen(prefixes[kind]);

                if (strncmp(name, prefixes[kind], length) == 0 &&
                    number_parse(name + length, 1, FDSTORE_RUN_MOST, ret_run) == 0)
                        return kind;
        }
        if (strncmp(name, prefix_own, strlen(prefix_own)) == 0 &&
            own_parse(name + strlen(prefix_own), ret_run))
                return FDSTORE_CONNECTION;
        if (strcmp(name, "mpecho-connection") == 0)
                return FDSTORE_OLD_CONNECTION;
        if (strcmp(name, "mpecho-pending") == 0)
                return FDSTORE_OLD_UNSENT;
        if (strcmp(name, "mpecho-roster") == 0 || strcmp(name, "mpecho-roster-other") == 0)
                return FDSTORE_OLD_LEDGER;
        return FDSTORE_STRANGER;
}

/* Puts @fd into the store, for the process @handler; 0 for the master's bundles. */
static int fdstore_put_as(FdstoreKind kind, uint64_t run, pid_t handler, int fd) {
        char message[128];

        if (handler == 0)
                snprintf(message, sizeof message, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s%ju",
                         prefixes[kind], (uintmax_t)run);
        else
                snprintf(message, sizeof message, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s%ju.%d",
                         prefix_own, (uintmax_t)run, handler);
        return notify_once(message, &fd, 1, 0);
}

int fdstore_put(FdstoreKind kind, uint64_t run, int fd) {
        return fdstore_put_as(kind, run, 0, fd);
}

void fdstore_remove(const char *name) {
        /* systemd takes names of 255 bytes. */
        char message[320];

        snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        (void)notify_once(message, NULL, 0, 0);
}

void fdstore_remove_own(uint64_t run, pid_t handler) {
        char message[128];

        snprintf(message, sizeof message, "FDSTOREREMOVE=1\nFDNAME=%s%ju.%d", prefix_own,
                 (uintmax_t)run, handler);
        (void)notify_once(message, NULL, 0, MSG_DONTWAIT);
}

/* Waits for the other end of the pipe @fd to be closed. */
static int wait_for_hangup(int fd) {
        const uint64_t deadline = clock_now() + FDSTORE_PATIENCE;
        struct pollfd end = { .fd = fd };

        for (uint64_t now = clock_now(); now < deadline; now = clock_now()) {
                const struct timespec timeout = clock_timespec(deadline - now);
                int n = ppoll(&end, 1, &timeout, NULL);

                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
        return -ETIMEDOUT;
}

int fdstore_barrier(void) {
        int ends[2], r;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        r = notify_once("BARRIER=1", &ends[1], 1, 0);
        close(ends[1]);
        if (r == 0)
                r = wait_for_hangup(ends[0]);
        close(ends[0]);
        return r;
}

int fdstore_put_connections(const int *fds, size_t n, uint64_t run, pid_t handler) {
        int bundle, r;

        bundle = bundle_new(fds, n);
        if (bundle < 0)
                return bundle;
        r = fdstore_put_as(FDSTORE_CONNECTION, run, handler, bundle);
        close(bundle);
        return r;
}

uint64_t fdstore_limit(void) {
        const char *text = getenv("FDSTORE");
        uint64_t limit;

        return text != NULL && number_parse(text, 0, UINT64_MAX, &limit) == 0 ? limit : UINT64_MAX;
}
