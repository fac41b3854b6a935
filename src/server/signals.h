/* SPDX-License-Identifier: MIT */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/clock.h"

enum {
        /* A stop has a descriptor of its own, which comes first. */
        SIGNALS_STOPS,
        SIGNALS_OTHERS,
        SIGNALS_FDS,
};

/* The signals that the master waits for. Begins as SIGNALS_NONE. */
typedef struct Signals {
        /* Obeys the signal @number, and returns whether that had an effect. */
        bool (*act)(void *data, uint32_t number, uint64_t now);
        void *data;
        int fds[SIGNALS_FDS];  /* of signalfd(2), or -1 */
        unsigned vain;         /* signals without an effect, in a row */
        uint64_t paused_until; /* CLOCK_NEVER without a pause */
} Signals;

#define SIGNALS_NONE ((Signals){ .fds = { -1, -1 }, .paused_until = CLOCK_NEVER })

/*
 * signals_init: Blocks SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD, and opens descriptors for
 * them. signals_take() calls @act with @data for each SIGCHLD, and for each other signal whose
 * sender the kernel attests and is no child.
 *
 * Returns 0, or a negative errno of signalfd(2); @signals needs signals_deinit() in any case, after
 * which the signals stay blocked.
 */
int signals_init(Signals *signals, bool (*act)(void *data, uint32_t number, uint64_t now),
                 void *data);
void signals_deinit(Signals *signals);

/*
 * signals_poll: Sets fd and events of the SIGNALS_FDS entries of @polled for the next ppoll(2).
 *
 * signals_take: Takes the signals from the descriptors that are ready in @polled, or from both when
 * @due. Never blocks. Kills a child that signals the master. Returns whether it read any
 * descriptor.
 */
void signals_poll(const Signals *signals, struct pollfd *polled);
bool signals_take(Signals *signals, const struct pollfd *polled, bool due, uint64_t now);

/*
 * signals_tick: Ends a pause that is over at @now.
 *
 * signals_deadline: Returns when the pause is over, or CLOCK_NEVER.
 */
void signals_tick(Signals *signals, uint64_t now);
uint64_t signals_deadline(const Signals *signals);
