/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        /* The bytes of a turn, which no buffer on the way has as its size: a lost or repeated block
         * shows. They are few, so that a processor's cache keeps them. A stream repeats itself only
         * after as many turns, about a gibibyte. */
        REEL_PERIOD = 32749,
};

/* The bytes of all streams of a worker: endless, and other ones for each connection. */
typedef struct Reel {
        /* The bytes of a turn, twice, so that no turn ends where they do. */
        uint8_t bytes[2 * REEL_PERIOD];
} Reel;

/*
 * reel_init: Chooses random bytes.
 *
 * reel_piece: Returns the bytes of connection @i behind the first @before ones. Sets @ret_size to
 * their number, at most @size, and fewer where the turn ends.
 *
 * reel_equals: Returns whether the @size bytes at @data are those of connection @i behind the first
 * @before ones.
 */
void reel_init(Reel *ret_reel);
const uint8_t *reel_piece(const Reel *reel, size_t i, uint64_t before, size_t size,
                          size_t *ret_size);
bool reel_equals(const Reel *reel, size_t i, uint64_t before, const uint8_t *data, size_t size);
