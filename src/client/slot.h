/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/load.h"

typedef struct Slot Slot;
typedef struct Slots Slots;
typedef enum SlotState SlotState;

enum {
        SLOT_BUFFER_SIZE = 64 * 1024,
};

enum SlotState {
        /* The connection failed, or there is nothing more to do. */
        SLOT_RESTING,
        SLOT_IDLE,
        SLOT_CONNECTING,
        SLOT_BUSY,
        /* Half-closed: the peer owes nothing but the end of the connection. */
        SLOT_ENDING,
};

/*
 * One connection, and the request under way on it. Instants are clock_now()'s.
 */
struct Slot {
        /* -1 between connections, and while a Unix socket's queue is full. */
        int fd;
        SlotState state;
        /* Nanoseconds that the connection's setup took before the load, which count. */
        uint64_t setup;
        /* The instants that the latency counts from, of connecting, of sending, and of the first
         * and the last byte of the answer; and the one at which it is given up. */
        uint64_t due;
        uint64_t begun;
        uint64_t connected;
        uint64_t first;
        uint64_t last;
        uint64_t deadline;
        size_t sent;
        size_t received;
        size_t place;
        bool wants_out;
};

/*
 * The connections of one worker.
 */
struct Slots {
        const LoadPlan *plan;
        const ClientOptions *options;
        LoadPage *page;
        int epoll;
        /* As many as the plan has connections; and how many are neither idle nor resting. */
        Slot *list;
        size_t busy;
        uint8_t *messages;
        uint8_t buffer[SLOT_BUFFER_SIZE];
};

/*
 * slots_init: prepares the connections of @plan. Call slots_deinit() in any case.
 *
 * Returns 0, or a negative errno of epoll_create1(2) or -ENOMEM.
 */
int slots_init(Slots *ret_slots, const LoadPlan *plan);
void slots_deinit(Slots *slots);

/*
 * slots_connect: opens the connections that requests are made on, before the load begins.
 *
 * Returns 0 or -ENOMEM. Connections that fail count as errors.
 */
int slots_connect(Slots *slots);

/*
 * slot_is_busy: returns whether the peer, or the kernel, owes @slot something.
 */
bool slot_is_busy(const Slot *slot);

/*
 * slot_begin: begins on @slot, which must not be busy, the request that is due at @due; connects
 * first where there is no connection.
 */
void slot_begin(Slots *slots, Slot *slot, uint64_t due);

/*
 * slot_serve: handles the @events of epoll_wait(2) on @slot. Counts answers and errors.
 *
 * Returns whether the slot has just become free: it is idle and can begin something.
 */
bool slot_serve(Slots *slots, Slot *slot, uint32_t events);

/*
 * slot_end: half-closes @slot, which must not be busy, at the instant @now, for good.
 */
void slot_end(Slots *slots, Slot *slot, uint64_t now);

/*
 * slot_tick: gives up at the instant @now what has taken too long, and retries to connect to a Unix
 * socket whose queue was full. Returns whether it still is.
 */
bool slot_tick(Slots *slots, Slot *slot, uint64_t now);
