/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/endpoint.h"

enum {
        NOTIFY_STATUS_SIZE = 256,
};

/*
 * Reports to the service manager in the protocol of sd_notify(3); does nothing without a manager.
 *
 * After notify_init() no call opens a descriptor, and none but notify_once() blocks. Messages that
 * the manager does not accept are sent again later.
 */
typedef struct Notify {
        bool managed;                    /* whether there is a manager */
        const char *state;               /* a message to send again, or NULL */
        uint64_t state_deadline;         /* when to send it, or CLOCK_NEVER */
        uint64_t watchdog;               /* nanoseconds between signs of life */
        uint64_t watchdog_deadline;      /* CLOCK_NEVER without a watchdog */
        uint64_t status_deadline;        /* CLOCK_NEVER without a change */
        uint64_t status_checked;         /* the instant of the last notify_status() */
        char status[NOTIFY_STATUS_SIZE]; /* the last one sent */
} Notify;

/*
 * notify_open: Opens the one socket of this process for such messages, unless it is open. Each call
 * that sends begins with this. After handler_init() the sandbox refuses the socket (confine.h).
 *
 * Returns 0; -ENOTCONN without a service manager; or a negative errno of socket(2).
 *
 * notify_close: Closes the socket, if it is open: that of the parent, in a child.
 */
int notify_open(void);
void notify_close(void);

/*
 * notify_once: Sends @message, assignments separated by newlines, with duplicates of the @n
 * descriptors @fds, 0 to FDPASS_MOST, to the service manager that $NOTIFY_SOCKET names. Retries
 * when a signal interrupts it.
 *
 * @flags: MSG_DONTWAIT, or 0 to block while the manager's socket is full.
 *
 * Returns 0; -ENOTCONN without a service manager; or a negative errno of socket(2) or sendmsg(2).
 */
int notify_once(const char *message, const int *fds, size_t n, int flags);

/*
 * notify_init: Finds the service manager and its watchdog (sd_watchdog_enabled(3)), which gets
 * signs of life twice as often as it requires. Call before handler_init(), as notify_open().
 *
 * Returns 0, or a negative errno of socket(2).
 */
int notify_init(Notify *notify);

/*
 * notify_has_manager: Returns whether there is a service manager.
 *
 * notify_ready: Announces that the service listens. notify_stopping: Announces that it is stopping.
 * Both send at @now, an instant of clock_now(), or as soon as there is room.
 *
 * notify_changed: Schedules a STATUS= update, at the earliest a second after the last
 * notify_status(), and two seconds after it at the latest.
 *
 * notify_status: Sends @status if it differs from the last one sent. Without room, it is due again
 * a second after @now.
 */
bool notify_has_manager(const Notify *notify);
void notify_ready(Notify *notify, uint64_t now);
void notify_stopping(Notify *notify, uint64_t now);
void notify_changed(Notify *notify, uint64_t now);
void notify_status(Notify *notify, const char *status, uint64_t now);

/*
 * notify_tick: Sends what is due at @now: a state that the manager did not accept, and a sign of
 * life. The latter comes early by up to half a second, or half its interval if that is shorter.
 *
 * notify_deadline: Returns when the master must wake up for a tick or a status, or CLOCK_NEVER. A
 * status that is due before, @status_deadline, is sent when something else wakes it.
 */
void notify_tick(Notify *notify, uint64_t now);
uint64_t notify_deadline(const Notify *notify);
