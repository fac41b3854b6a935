#include "notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "clock.h"

void notify_init(Notify *notify) {
        uint64_t watchdog_usec;

        *notify = (Notify){
                .manager = getenv("NOTIFY_SOCKET") != NULL,
                .watchdog_deadline = CLOCK_NEVER,
                .status_deadline = CLOCK_NEVER,
        };
        if (sd_watchdog_enabled(false, &watchdog_usec) > 0) {
                notify->watchdog_usec = watchdog_usec / 2;
                notify->watchdog_deadline = clock_now();
        }
}

void notify_ready(const Notify *notify) {
        if (notify->manager)
                (void)sd_notify(false, "READY=1");
}

void notify_stopping(const Notify *notify) {
        if (notify->manager)
                (void)sd_notify(false, "STOPPING=1");
}

void notify_changed(Notify *notify, uint64_t now) {
        uint64_t soonest = notify->status_sent + CLOCK_SECOND;

        if (notify->manager && notify->status_deadline == CLOCK_NEVER)
                notify->status_deadline = soonest > now ? soonest : now;
}

void notify_status(Notify *notify, const char *status, uint64_t now) {
        char message[sizeof "STATUS=" + NOTIFY_STATUS_SIZE];

        notify->status_deadline = CLOCK_NEVER;
        if (!notify->manager || strcmp(notify->status, status) == 0)
                return;
        snprintf(notify->status, sizeof notify->status, "%s", status);
        notify->status_sent = now;
        /* sd_notifyf() would allocate memory. */
        snprintf(message, sizeof message, "STATUS=%s", notify->status);
        (void)sd_notify(false, message);
}

void notify_watchdog(Notify *notify, uint64_t now) {
        if (now < notify->watchdog_deadline)
                return;
        notify->watchdog_deadline = now + notify->watchdog_usec;
        (void)sd_notify(false, "WATCHDOG=1");
}

uint64_t notify_deadline(const Notify *notify) {
        return clock_earlier(notify->watchdog_deadline, notify->status_deadline);
}
