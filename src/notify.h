#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Notify Notify;

enum {
        NOTIFY_STATUS_SIZE = 160,
};

/*
 * What the service manager is told (sd_notify(3)). Nothing happens where there is none.
 */
struct Notify {
        bool manager;               /* there is one */
        uint64_t watchdog_usec;     /* from one sign of life to the next */
        uint64_t watchdog_deadline; /* CLOCK_NEVER when none is wanted */
        uint64_t status_deadline;   /* CLOCK_NEVER when nothing has changed */
        uint64_t status_sent;
        char status[NOTIFY_STATUS_SIZE]; /* as it was last told */
};

/*
 * notify_init: finds out whether there is a service manager and whether it wants signs of life,
 * which it then gets twice as often as it asks for (sd_watchdog_enabled(3)). Before the environment
 * is changed.
 */
void notify_init(Notify *notify);

/*
 * notify_ready, notify_stopping: the service listens; the service is going to exit.
 */
void notify_ready(const Notify *notify);
void notify_stopping(const Notify *notify);

/*
 * notify_changed: the status may be another at @now, an instant of clock_now(): makes it due, but a
 * second after the last one at the soonest.
 */
void notify_changed(Notify *notify, uint64_t now);

/*
 * notify_status: tells @status if it differs from what was told last; nothing is due then.
 */
void notify_status(Notify *notify, const char *status, uint64_t now);

/*
 * notify_watchdog: gives a sign of life if one is due.
 */
void notify_watchdog(Notify *notify, uint64_t now);

/*
 * notify_deadline: when a status or a sign of life is due next, or CLOCK_NEVER.
 */
uint64_t notify_deadline(const Notify *notify);
