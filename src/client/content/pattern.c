/* SPDX-License-Identifier: MIT */
/*
 * Makes pseudo-random bytes about as fast as memory takes them, and finds their place again.
 *
 * The stream consists of blocks of 8 KiB, which a processor's cache keeps. Each block has the same
 * random words, XORed with one word of its own, which is a bijective mix (SplitMix64) of the
 * block's number. So a word costs one XOR, which processors do for several words at once, and any
 * part of the stream can be made without the parts before.
 *
 * The way back: the XOR of two neighbouring words is the same in all blocks and identifies their
 * place in a block. One of them then gives the block's word, and the inverse of the mix its number.
 * Bytes from outside the stream give a number beyond its end.
 *
 * It must not serve as cryptography: anybody who has the algorithm can predict the stream.
 */
#include "client/content/pattern.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>

#include "lib/clock.h"

/* Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
#define PATTERN_INCREMENT UINT64_C(0x9e3779b97f4a7c15)
#define PATTERN_FACTOR_1  UINT64_C(0xbf58476d1ce4e5b9)
#define PATTERN_FACTOR_2  UINT64_C(0x94d049bb133111eb)

/* The inverses of the above modulo 2^64. */
#define PATTERN_INCREMENT_INVERSE UINT64_C(0xf1de83e19937733d)
#define PATTERN_FACTOR_1_INVERSE  UINT64_C(0x96de1b173f119089)
#define PATTERN_FACTOR_2_INVERSE  UINT64_C(0x319642b2d24d8ec3)

enum {
        PATTERN_LANES = 4,
};

/* Words that are XORed at once, with whatever instructions the processor has for that. */
typedef uint64_t PatternLanes
                __attribute__((vector_size(PATTERN_LANES * PATTERN_WORD_SIZE), aligned(8)));

static uint64_t pattern_mix(uint64_t seed, uint64_t index) {
        uint64_t word = seed + index * PATTERN_INCREMENT;

        word = (word ^ word >> 30) * PATTERN_FACTOR_1;
        word = (word ^ word >> 27) * PATTERN_FACTOR_2;
        return word ^ word >> 31;
}

static uint64_t pattern_unmix(uint64_t seed, uint64_t word) {
        word = (word ^ word >> 31 ^ word >> 62) * PATTERN_FACTOR_2_INVERSE;
        word = (word ^ word >> 27 ^ word >> 54) * PATTERN_FACTOR_1_INVERSE;
        word = word ^ word >> 30 ^ word >> 60;
        return (word - seed) * PATTERN_INCREMENT_INVERSE;
}

/* The first place in the hash table to look for @difference. */
static size_t pattern_slot(uint64_t difference) {
        return (size_t)(difference * PATTERN_INCREMENT >> 32) % PATTERN_SLOTS;
}

void pattern_init_seed(Pattern *ret_pattern, uint64_t seed) {
        ret_pattern->seed = seed;
        memset(ret_pattern->slots, 0, sizeof ret_pattern->slots);
        for (size_t i = 0; i < PATTERN_BLOCK_WORDS; i++)
                ret_pattern->words[i] = htole64(pattern_mix(~seed, i));
        for (size_t i = 0; i + 1 < PATTERN_BLOCK_WORDS; i++) {
                size_t slot = pattern_slot(ret_pattern->words[i] ^ ret_pattern->words[i + 1]);

                while (ret_pattern->slots[slot] != 0)
                        slot = (slot + 1) % PATTERN_SLOTS;
                ret_pattern->slots[slot] = (uint16_t)(i + 1);
        }
}

void pattern_init(Pattern *ret_pattern) {
        uint64_t seed;

        /* Any seed will do; only that it is not always the same one matters. */
        if (getrandom(&seed, sizeof seed, 0) < 0)
                seed = clock_now();
        pattern_init_seed(ret_pattern, seed);
}

/* The word that the block of number @block is XORed with, in the order of its bytes. */
static uint64_t pattern_key(const Pattern *pattern, uint64_t block) {
        return htole64(pattern_mix(pattern->seed, block));
}

/* Writes @count words of a block, from @words on, XORed with @key, to @bytes. */
static void pattern_write(const uint64_t *words, size_t count, uint64_t key, char *bytes) {
        PatternLanes lanes;
        uint64_t word;

        for (; count >= PATTERN_LANES; count -= PATTERN_LANES) {
                memcpy(&lanes, words, sizeof lanes);
                lanes ^= key;
                memcpy(bytes, &lanes, sizeof lanes);
                words += PATTERN_LANES;
                bytes += sizeof lanes;
        }
        for (; count > 0; count--) {
                word = *words++ ^ key;
                memcpy(bytes, &word, sizeof word);
                bytes += sizeof word;
        }
}

/* Writes @size bytes of the word of number @index, from the byte @from on. */
static void pattern_cut(const Pattern *pattern, uint64_t index, size_t from, char *bytes,
                        size_t size) {
        uint64_t word = pattern->words[index % PATTERN_BLOCK_WORDS] ^
                        pattern_key(pattern, index / PATTERN_BLOCK_WORDS);

        memcpy(bytes, (const char *)&word + from, size);
}

void pattern_fill(const Pattern *pattern, uint64_t offset, void *buffer, size_t size) {
        char *bytes = buffer;
        size_t skipped = offset % PATTERN_WORD_SIZE, n;
        uint64_t index = offset / PATTERN_WORD_SIZE;

        if (skipped != 0) {
                n = PATTERN_WORD_SIZE - skipped < size ? PATTERN_WORD_SIZE - skipped : size;
                pattern_cut(pattern, index++, skipped, bytes, n);
                bytes += n;
                size -= n;
        }
        for (; size >= PATTERN_WORD_SIZE; size -= n * PATTERN_WORD_SIZE) {
                size_t place = index % PATTERN_BLOCK_WORDS;

                n = size / PATTERN_WORD_SIZE;
                if (n > PATTERN_BLOCK_WORDS - place)
                        n = PATTERN_BLOCK_WORDS - place;
                pattern_write(pattern->words + place, n,
                              pattern_key(pattern, index / PATTERN_BLOCK_WORDS), bytes);
                index += n;
                bytes += n * PATTERN_WORD_SIZE;
        }
        if (size > 0)
                pattern_cut(pattern, index, 0, bytes, size);
}

/* The number of the word that has the place @place in its block and the value @word. */
static uint64_t pattern_index(const Pattern *pattern, size_t place, uint64_t word) {
        uint64_t block = pattern_unmix(pattern->seed, le64toh(word ^ pattern->words[place]));

        /* Beyond any end, where the product would not be. */
        return block > UINT64_MAX / PATTERN_BLOCK_WORDS - 1 ? UINT64_MAX
                                                            : block * PATTERN_BLOCK_WORDS + place;
}

/* Looks for the number of the first of two words in one block; UINT64_MAX if there is none. */
static uint64_t pattern_look_up(const Pattern *pattern, const uint64_t words[static 2]) {
        uint64_t difference = words[0] ^ words[1];

        for (size_t slot = pattern_slot(difference); pattern->slots[slot] != 0;
             slot = (slot + 1) % PATTERN_SLOTS) {
                size_t place = pattern->slots[slot] - 1U;

                if ((pattern->words[place] ^ pattern->words[place + 1]) == difference)
                        return pattern_index(pattern, place, words[0]);
        }
        return UINT64_MAX;
}

bool pattern_find(const Pattern *pattern, const void *data, uint64_t limit, uint64_t *ret_offset) {
        const uint64_t end = limit / PATTERN_WORD_SIZE;
        uint64_t words[2], index, next;

        memcpy(words, data, sizeof words);
        index = pattern_look_up(pattern, words);
        if (index == UINT64_MAX) {
                /* They may be the last one of a block and the first one of the next. */
                index = pattern_index(pattern, PATTERN_BLOCK_WORDS - 1, words[0]);
                next = pattern_index(pattern, 0, words[1]);
                if (index >= end || next != index + 1)
                        return false;
        }
        if (index >= end || index + 1 >= end)
                return false;
        *ret_offset = index * PATTERN_WORD_SIZE;
        return true;
}

uint64_t pattern_tag(const Pattern *pattern, uint64_t number) {
        return pattern_mix(pattern->seed, number);
}

uint64_t pattern_number(const Pattern *pattern, uint64_t tag) {
        return pattern_unmix(pattern->seed, tag);
}
