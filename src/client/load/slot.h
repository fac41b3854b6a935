/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/load/load.h"

enum {
        SLOT_BUFFER_SIZE = 64 * 1024,
        /* The places in the pattern where a message can begin, a prime number. */
        SLOT_PLACES = 65521,
};

typedef enum SlotState {
        /* The connection failed, or the slot has no more requests. */
        SLOT_RESTING,
        SLOT_IDLE,
        SLOT_CONNECTING,
        SLOT_BUSY,
        SLOT_ENDING, /* half-closed: only the peer's end is missing */
} SlotState;

/* One connection and its current request. */
typedef struct Slot {
        /* -1 without a connection, and while the queue of a Unix socket is full. */
        int fd;
        SlotState state;
        /* Nanoseconds of the connection's setup before the load, which count for its first
         * request. */
        uint64_t setup;
        /* The instant from which the latency counts; those of connect(2), of the first send(2), of
         * the first and the last byte of the answer; and the deadline. */
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
} Slot;

/* The connections of one worker. */
typedef struct Slots {
        const LoadPlan *plan;
        const ClientOptions *options;
        LoadPage *page;
        int epoll;
        /* One for each connection of the plan; and the number of those neither idle nor resting. */
        Slot *list;
        size_t busy;
        uint8_t *messages;
        uint8_t buffer[SLOT_BUFFER_SIZE];
} Slots;

/*
 * slot_adopt: Gives @slot, which has none, the open connection @fd, and owns it from then on.
 *
 * slot_begin: Begins on @slot, which must not be busy, the request of the instant @due; connects
 * first if there is no connection.
 */
void slot_adopt(const Slots *slots, Slot *slot, int fd);
void slot_begin(Slots *slots, Slot *slot, uint64_t due);

/*
 * slot_serve: Handles the @events of epoll_wait(2) on @slot. Counts answers and errors.
 *
 * Returns whether the slot has just become idle and can begin a request.
 */
bool slot_serve(Slots *slots, Slot *slot, uint32_t events);

/* slot_end: Half-closes @slot, which must not be busy, for good at the instant @now. */
void slot_end(Slots *slots, Slot *slot, uint64_t now);

/*
 * slot_look: Takes what has come while this process had no processor: the connection, or bytes.
 *
 * Returns as slot_serve() does.
 */
bool slot_look(Slots *slots, Slot *slot);

/*
 * slot_expire: Ends a request whose deadline is not after @now, unless the bytes that have already
 * come complete it. Sends it instead over a connection that has already come about.
 *
 * Returns as slot_serve() does.
 */
bool slot_expire(Slots *slots, Slot *slot, uint64_t now);

/*
 * slot_tick: Connects again to a Unix socket whose queue was full.
 *
 * Returns whether the queue still is.
 */
bool slot_tick(Slots *slots, Slot *slot);
