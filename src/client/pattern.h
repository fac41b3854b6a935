/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Pattern Pattern;

enum {
        PATTERN_WORD_SIZE = sizeof(uint64_t),
        PATTERN_BLOCK_WORDS = 4096,
        PATTERN_SLOTS = 2 * PATTERN_BLOCK_WORDS,
};

/*
 * An endless pseudo-random stream of bytes of which any part can be had at once, and whose parts
 * say where they belong.
 */
struct Pattern {
        uint64_t seed;
        /* The words of a block, in the order of their bytes. */
        uint64_t words[PATTERN_BLOCK_WORDS];
        /* A hash table of the differences of neighbouring words: their numbers, plus one. */
        uint16_t slots[PATTERN_SLOTS];
};

/*
 * pattern_init: makes the pattern of a random seed (getrandom(2)).
 */
void pattern_init(Pattern *ret_pattern);

/*
 * pattern_init_seed: makes the pattern of @seed, the same one each time.
 */
void pattern_init_seed(Pattern *ret_pattern, uint64_t seed);

/*
 * pattern_fill: writes the @size bytes from @offset on to @buffer.
 */
void pattern_fill(const Pattern *pattern, uint64_t offset, void *buffer, size_t size);

/*
 * pattern_find: where in the stream the two words at @data, 16 bytes of any alignment, are. They
 * must be aligned words of the stream; others are not found.
 *
 * Returns whether they are within the first @limit bytes, and sets @ret_offset if so.
 */
bool pattern_find(const Pattern *pattern, const void *data, uint64_t limit, uint64_t *ret_offset);
