/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/endpoint.h"

typedef struct Notify Notify;

enum {
        NOTIFY_STATUS_SIZE = 160,
};

/*
 * What the service manager is told, in the protocol that sd_notify(3) documents. Nothing happens
 * where there is none.
 *
 * Telling never waits, as sd_notify() does while the manager does not read, and needs no new
 * descriptor: a manager that is slow, or a lack of descriptors, holds up no connection. What the
 * manager has no room for is told again later, the status as it is then.
 */
struct Notify {
        int fd; /* a datagram socket; -1 when there is no manager */
        Endpoint manager;
        const char *state;               /* that there was no room for, or NULL */
        uint64_t state_deadline;         /* when it is tried again; CLOCK_NEVER */
        uint64_t watchdog_usec;          /* from one sign of life to the next */
        uint64_t watchdog_deadline;      /* CLOCK_NEVER when none is wanted */
        uint64_t status_deadline;        /* CLOCK_NEVER when nothing has changed */
        uint64_t status_checked;         /* when notify_status() was last called */
        char status[NOTIFY_STATUS_SIZE]; /* as it was last told */
};

/*
 * notify_init: finds out whether there is a service manager and whether it wants signs of life,
 * which it then gets twice as often as it asks for (sd_watchdog_enabled(3)). Before the environment
 * is changed.
 *
 * Returns 0, or a negative errno of socket(2); @notify needs notify_deinit() in any case.
 */
int notify_init(Notify *notify);
void notify_deinit(Notify *notify);

/*
 * notify_has_manager: whether there is a service manager.
 */
bool notify_has_manager(const Notify *notify);

/*
 * notify_ready, notify_stopping: the service listens; the service is going to exit. At @now, an
 * instant of clock_now(), or as soon as there is room for it.
 */
void notify_ready(Notify *notify, uint64_t now);
void notify_stopping(Notify *notify, uint64_t now);

/*
 * notify_changed: the status may be another at @now: makes it due, but a second after the last call
 * of notify_status() at the soonest.
 */
void notify_changed(Notify *notify, uint64_t now);

/*
 * notify_status: tells @status if it differs from what was told last; nothing is due then, unless
 * there was no room for it.
 */
void notify_status(Notify *notify, const char *status, uint64_t now);

/*
 * notify_tick: tells what there was no room for, and gives a sign of life, if due at @now.
 */
void notify_tick(Notify *notify, uint64_t now);

/*
 * notify_deadline: when something of that or a status is due next, or CLOCK_NEVER.
 */
uint64_t notify_deadline(const Notify *notify);
