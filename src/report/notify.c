/* SPDX-License-Identifier: MIT */
/*
 * Reports to the service manager, in the protocol that sd_notify(3) documents: READY=1, STOPPING=1,
 * STATUS= and WATCHDOG=1.
 *
 * The functions of libsystemd block while the manager does not read its socket, and open a
 * descriptor for each message. The process keeps one socket, and the master never blocks. When the
 * manager's socket is full, it sends the state and the sign of life again later, and composes a new
 * status then.
 *
 * Nothing here may open a descriptor after notify_init(): the process may have none left, and the
 * sandbox refuses datagram sockets from then on.
 */
#include "report/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/fdpass.h"

/* Rare enough that a manager that hangs does not keep the master awake. */
#define RETRY CLOCK_SECOND

/* The least time between two statuses that wake the master, as handlers count bytes all the time. A
 * status that is due before waits until something else wakes the master. */
#define STATUS_PAUSE (2 * CLOCK_SECOND)

/* The socket, or -1; and the manager that $NOTIFY_SOCKET named when the socket was opened. */
static struct {
        int fd;
        Endpoint manager;
} channel = { .fd = -1 };

int notify_open(void) {
        const char *name = getenv("NOTIFY_SOCKET"), *why;

        if (channel.fd >= 0)
                return 0;
        if (name == NULL || !endpoint_is_local(name) ||
            endpoint_parse_local(name, &channel.manager, &why) < 0)
                return -ENOTCONN;
        channel.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return channel.fd < 0 ? -errno : 0;
}

void notify_close(void) {
        channel.fd = descriptor_close(channel.fd);
}

int notify_once(const char *message, const int *fds, size_t n, int flags) {
        const int r = notify_open();

        if (r < 0)
                return r;
        return fdpass_send(channel.fd, &channel.manager, message, strlen(message), fds, n, flags);
}

int notify_init(Notify *notify) {
        const int r = notify_open();
        uint64_t watchdog_usec;

        *notify = (Notify){
                .managed = r == 0,
                .state_deadline = CLOCK_NEVER,
                .watchdog_deadline = CLOCK_NEVER,
                .status_deadline = CLOCK_NEVER,
        };
        if (r < 0)
                return r == -ENOTCONN ? 0 : r;
        if (sd_watchdog_enabled(false, &watchdog_usec) > 0) {
                notify->watchdog = watchdog_usec * CLOCK_MICROSECOND / 2;
                notify->watchdog_deadline = clock_now();
        }
        return 0;
}

bool notify_has_manager(const Notify *notify) {
        return notify->managed;
}

/* Returns false if the manager had no room for @message. A manager that is gone needs no
 * repetition.
 */
static bool notify_send(const char *message) {
        const int r = notify_once(message, NULL, 0, MSG_DONTWAIT);

        return r != -EAGAIN && r != -ENOBUFS && r != -ENOMEM;
}

static void notify_state(Notify *notify, const char *state, uint64_t now) {
        const bool sent = !notify->managed || notify_send(state);

        notify->state = sent ? NULL : state;
        notify->state_deadline = sent ? CLOCK_NEVER : now + RETRY;
}

void notify_ready(Notify *notify, uint64_t now) {
        notify_state(notify, "READY=1", now);
}

void notify_stopping(Notify *notify, uint64_t now) {
        notify_state(notify, "STOPPING=1", now);
}

void notify_changed(Notify *notify, uint64_t now) {
        uint64_t soonest = notify->status_checked + CLOCK_SECOND;

        if (notify->managed && notify->status_deadline == CLOCK_NEVER)
                notify->status_deadline = soonest > now ? soonest : now;
}

void notify_status(Notify *notify, const char *status, uint64_t now) {
        char message[sizeof "STATUS=" + NOTIFY_STATUS_SIZE];

        notify->status_deadline = CLOCK_NEVER;
        if (!notify->managed)
                return;
        /* Even if the status is the same: a deadline in the past would keep the master awake. */
        notify->status_checked = now;
        if (strcmp(notify->status, status) == 0)
                return;
        snprintf(message, sizeof message, "STATUS=%s", status);
        if (!notify_send(message)) {
                notify->status_deadline = now + CLOCK_SECOND;
                return;
        }
        snprintf(notify->status, sizeof notify->status, "%s", status);
}

void notify_tick(Notify *notify, uint64_t now) {
        const uint64_t retry = clock_earlier(notify->watchdog, RETRY);

        if (notify->state_deadline <= now)
                notify_state(notify, notify->state, now);
        /* A little early when the master is awake anyway, which need not wake up for that then. */
        if (notify->watchdog_deadline <= now + retry / 2)
                notify->watchdog_deadline =
                                now + (notify_send("WATCHDOG=1") ? notify->watchdog : retry);
}

uint64_t notify_deadline(const Notify *notify) {
        const uint64_t soonest = notify->status_checked + STATUS_PAUSE;
        const uint64_t status =
                        notify->status_deadline < soonest ? soonest : notify->status_deadline;

        return clock_earlier(notify->state_deadline,
                             clock_earlier(notify->watchdog_deadline, status));
}
