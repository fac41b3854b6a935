/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Pace Pace;

/*
 * The speed at which bytes may be sent, from an instant on. Instants are clock_now()'s.
 */
struct Pace {
        uint64_t start;
        /* Bytes a second; 0 for no limit. */
        uint64_t rate;
};

/*
 * pace_due: returns the instant at which @bytes bytes may have been sent.
 */
uint64_t pace_due(const Pace *pace, uint64_t bytes);

/*
 * pace_allowance: returns how many bytes may have been sent at the instant @now; UINT64_MAX where
 * there is no limit.
 */
uint64_t pace_allowance(const Pace *pace, uint64_t now);

/*
 * pace_piece: returns how many of at most @size bytes to send at once, at least one: some
 * milliseconds' worth, so that the stream is even.
 */
size_t pace_piece(const Pace *pace, size_t size);
