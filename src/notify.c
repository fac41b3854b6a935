#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "clock.h"

enum {
        /* Often enough that no watchdog misses it. */
        RETRY_USEC = 100 * 1000,
};

int notify_init(Notify *notify) {
        const char *name = getenv("NOTIFY_SOCKET"), *why;
        uint64_t watchdog_usec;

        *notify = (Notify){
                .fd = -1,
                .state_deadline = CLOCK_NEVER,
                .watchdog_deadline = CLOCK_NEVER,
                .status_deadline = CLOCK_NEVER,
        };
        if (name == NULL || !endpoint_is_local(name) ||
            endpoint_parse_local(name, &notify->manager, &why) < 0)
                return 0;
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (notify->fd < 0)
                return -errno;
        if (sd_watchdog_enabled(false, &watchdog_usec) > 0) {
                notify->watchdog_usec = watchdog_usec / 2;
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
        if (sendto(notify->fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL,
                   &notify->manager.any, notify->manager.length) >= 0)
                return true;
        return errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM && errno != EINTR;
}

static void notify_state(Notify *notify, const char *state, uint64_t now) {
        const bool told = notify->fd < 0 || notify_send(notify, state);

        notify->state = told ? NULL : state;
        notify->state_deadline = told ? CLOCK_NEVER : now + RETRY_USEC;
}

void notify_ready(Notify *notify, uint64_t now) {
        notify_state(notify, "READY=1", now);
}

void notify_stopping(Notify *notify, uint64_t now) {
        notify_state(notify, "STOPPING=1", now);
}

void notify_changed(Notify *notify, uint64_t now) {
        uint64_t soonest = notify->status_sent + CLOCK_SECOND;

        if (notify->fd >= 0 && notify->status_deadline == CLOCK_NEVER)
                notify->status_deadline = soonest > now ? soonest : now;
}

void notify_status(Notify *notify, const char *status, uint64_t now) {
        char message[sizeof "STATUS=" + NOTIFY_STATUS_SIZE];

        notify->status_deadline = CLOCK_NEVER;
        if (notify->fd < 0 || strcmp(notify->status, status) == 0)
                return;
        snprintf(message, sizeof message, "STATUS=%s", status);
        if (!notify_send(notify, message)) {
                notify->status_deadline = now + CLOCK_SECOND;
                return;
        }
        snprintf(notify->status, sizeof notify->status, "%s", status);
        notify->status_sent = now;
}

void notify_tick(Notify *notify, uint64_t now) {
        if (notify->state_deadline <= now)
                notify_state(notify, notify->state, now);
        if (notify->watchdog_deadline <= now)
                notify->watchdog_deadline =
                                now + (notify_send(notify, "WATCHDOG=1")
                                                       ? notify->watchdog_usec
                                                       : clock_earlier(notify->watchdog_usec,
                                                                       RETRY_USEC));
}

uint64_t notify_deadline(const Notify *notify) {
        return clock_earlier(notify->state_deadline,
                             clock_earlier(notify->watchdog_deadline, notify->status_deadline));
}
