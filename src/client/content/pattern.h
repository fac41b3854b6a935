/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        PATTERN_WORD_SIZE = sizeof(uint64_t),
        PATTERN_BLOCK_WORDS = 1024,
        PATTERN_SLOTS = 2 * PATTERN_BLOCK_WORDS,
};

/* An endless pseudo-random stream of bytes. Any part of it can be computed directly, and any 16
 * aligned bytes of it determine their offset. */
typedef struct Pattern {
        uint64_t seed;
        uint64_t words[PATTERN_BLOCK_WORDS]; /* the words of a block, in the order of their bytes */
        /* A hash table of the differences between neighbouring words; its values are their indexes,
         * plus one. */
        uint16_t slots[PATTERN_SLOTS];
} Pattern;

/*
 * pattern_init: Makes a pattern with a random seed (getrandom(2)).
 *
 * pattern_init_seed: Makes the pattern of @seed; the same seed gives the same bytes.
 *
 * pattern_fill: Writes the @size bytes at @offset of the stream to @buffer.
 */
void pattern_init(Pattern *ret_pattern);
void pattern_init_seed(Pattern *ret_pattern, uint64_t seed);
void pattern_fill(const Pattern *pattern, uint64_t offset, void *buffer, size_t size);

/*
 * pattern_find: Finds the offset of the two words at @data, 16 bytes of any alignment, within the
 * first @limit bytes. It finds words only at multiples of 8 bytes.
 *
 * Returns true and sets @ret_offset, or returns false.
 */
bool pattern_find(const Pattern *pattern, const void *data, uint64_t limit, uint64_t *ret_offset);

/* pattern_tag: Returns a word that belongs to @number and to this pattern alone. pattern_number:
 * Returns the number that @tag belongs to: of a tag of another pattern, any number up to
 * UINT64_MAX. */
uint64_t pattern_tag(const Pattern *pattern, uint64_t number);
uint64_t pattern_number(const Pattern *pattern, uint64_t tag);
