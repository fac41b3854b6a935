/* SPDX-License-Identifier: MIT */
#include "client/pattern.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>

#include "lib/clock.h"

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
#define PATTERN_INCREMENT UINT64_C(0x9e3779b97f4a7c15)
#define PATTERN_FACTOR_1  UINT64_C(0xbf58476d1ce4e5b9)
#define PATTERN_FACTOR_2  UINT64_C(0x94d049bb133111eb)

/* The inverses of the above modulo 2^64. */
#define PATTERN_INCREMENT_INVERSE UINT64_C(0xf1de83e19937733d)
#define PATTERN_FACTOR_1_INVERSE  UINT64_C(0x96de1b173f119089)
#define PATTERN_FACTOR_2_INVERSE  UINT64_C(0x319642b2d24d8ec3)

static uint64_t pattern_word(const Pattern *pattern, uint64_t index) {
        uint64_t word = pattern->seed + index * PATTERN_INCREMENT;

        word = (word ^ word >> 30) * PATTERN_FACTOR_1;
        word = (word ^ word >> 27) * PATTERN_FACTOR_2;
        return word ^ word >> 31;
}

static uint64_t pattern_index(const Pattern *pattern, uint64_t word) {
        word = (word ^ word >> 31 ^ word >> 62) * PATTERN_FACTOR_2_INVERSE;
        word = (word ^ word >> 27 ^ word >> 54) * PATTERN_FACTOR_1_INVERSE;
        word = word ^ word >> 30 ^ word >> 60;
        return (word - pattern->seed) * PATTERN_INCREMENT_INVERSE;
}

void pattern_init(Pattern *ret_pattern) {
        /* Any seed will do; only that it is not always the same one matters. */
        if (getrandom(&ret_pattern->seed, sizeof ret_pattern->seed, 0) < 0)
                ret_pattern->seed = clock_now();
}

static uint64_t pattern_stored_word(const Pattern *pattern, uint64_t index) {
        return htole64(pattern_word(pattern, index));
}

void pattern_fill(const Pattern *pattern, uint64_t offset, void *buffer, size_t size) {
        char *bytes = buffer, *end = bytes + size;
        size_t skipped = offset % PATTERN_WORD_SIZE;
        uint64_t index = offset / PATTERN_WORD_SIZE, word;

        if (skipped != 0) {
                size_t n = PATTERN_WORD_SIZE - skipped < size ? PATTERN_WORD_SIZE - skipped : size;

                word = pattern_stored_word(pattern, index++);
                memcpy(bytes, (const char *)&word + skipped, n);
                bytes += n;
        }
        for (; end - bytes >= PATTERN_WORD_SIZE; bytes += PATTERN_WORD_SIZE) {
                word = pattern_stored_word(pattern, index++);
                memcpy(bytes, &word, PATTERN_WORD_SIZE);
        }
        if (bytes < end) {
                word = pattern_stored_word(pattern, index);
                memcpy(bytes, &word, (size_t)(end - bytes));
        }
}

bool pattern_find(const Pattern *pattern, const void *data, uint64_t limit, uint64_t *ret_offset) {
        uint64_t words[2], index;

        memcpy(words, data, sizeof words);
        index = pattern_index(pattern, le64toh(words[0]));
        /* One word alone would too often be found by chance where there is none. */
        if (index >= limit / PATTERN_WORD_SIZE || index + 1 >= limit / PATTERN_WORD_SIZE ||
            pattern_index(pattern, le64toh(words[1])) != index + 1)
                return false;
        *ret_offset = index * PATTERN_WORD_SIZE;
        return true;
}
