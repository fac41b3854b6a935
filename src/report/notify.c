/* SPDX-License-Identifier: MIT */
/*
 * Reports to the service manager: READY=1, STOPPING=1, STATUS= and WATCHDOG=1. No message blocks.
 * When the manager's socket is full, the state and the sign of life are sent again later, and the
 * status is composed again then. Nothing here may open a descriptor after notify_init().
 */
#include "report/notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/clock.h"
#include "report/notification.h"

/* Seldom enough that a manager that hangs does not keep the master awake. */
#define RETRY CLOCK_SECOND

int notify_init(Notify *notify) {
        uint64_t watchdog_usec;

        *notify = (Notify){
                .fd = -1,
                .state_deadline = CLOCK_NEVER,
                .watchdog_deadline = CLOCK_NEVER,
                .status_deadline = CLOCK_NEVER,
        };
        notify->fd = notification_open(&notify->manager);
        if (notify->fd == -ENOTCONN)
                return 0;
        if (notify->fd < 0)
                return notify->fd;
        if (sd_watchdog_enabled(false, &watchdog_usec) > 0) {
                notify->watchdog = watchdog_usec * CLOCK_MICROSECOND / 2;
                notify->watchdog_deadline = clock_now();
        }
        return 0;
}

void notify_deinit(Notify *notify) {
        if (notify->fd >= 0)
                close(notify->fd);
        notify->fd = -1;
}

bool notify_has_manager(const Notify *notify) {
        return notify->fd >= 0;
}

/* Returns false when @message is to be told again because there was no room. A manager that is not
 * there will not ask for what it has missed. */
static bool notify_send(const Notify *notify, const char *message) {
        int r = notification_send(notify->fd, &notify->manager, message, NULL, 0, MSG_DONTWAIT);

        return r != -EAGAIN && r != -ENOBUFS && r != -ENOMEM;
}

static void notify_state(Notify *notify, const char *state, uint64_t now) {
        const bool told = notify->fd < 0 || notify_send(notify, state);

        notify->state = told ? NULL : state;
        notify->state_deadline = told ? CLOCK_NEVER : now + RETRY;
}

void notify_ready(Notify *notify, uint64_t now) {
        notify_state(notify, "READY=1", now);
}

void notify_stopping(Notify *notify, uint64_t now) {
        notify_state(notify, "STOPPING=1", now);
}

void notify_changed(Notify *notify, uint64_t now) {
        uint64_t soonest = notify->status_checked + CLOCK_SECOND;

        if (notify->fd >= 0 && notify->status_deadline == CLOCK_NEVER)
                notify->status_deadline = soonest > now ? soonest : now;
}

void notify_status(Notify *notify, const char *status, uint64_t now) {
        char message[sizeof "STATUS=" + NOTIFY_STATUS_SIZE];

        notify->status_deadline = CLOCK_NEVER;
        if (notify->fd < 0)
                return;
        /* The next check is due a second after this one, whether or not this one sends anything:
         * a deadline that nobody moves would keep the master awake. */
        notify->status_checked = now;
        if (strcmp(notify->status, status) == 0)
                return;
        snprintf(message, sizeof message, "STATUS=%s", status);
        if (!notify_send(notify, message)) {
                notify->status_deadline = now + CLOCK_SECOND;
                return;
        }
        snprintf(notify->status, sizeof notify->status, "%s", status);
}

void notify_tick(Notify *notify, uint64_t now) {
        if (notify->state_deadline <= now)
                notify_state(notify, notify->state, now);
        if (notify->watchdog_deadline <= now)
                notify->watchdog_deadline =
                                now + (notify_send(notify, "WATCHDOG=1")
                                                       ? notify->watchdog
                                                       : clock_earlier(notify->watchdog, RETRY));
}

uint64_t notify_deadline(const Notify *notify) {
        return clock_earlier(notify->state_deadline,
                             clock_earlier(notify->watchdog_deadline, notify->status_deadline));
}
