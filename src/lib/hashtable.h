/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Hashtable Hashtable;

/* Maps 128-bit keys to 32-bit values, in memory of fixed size. Each call takes constant time on
 * average, even if peers choose the keys. */
typedef struct HashtableKey {
        uint64_t high;
        uint64_t low;
} HashtableKey;

/*
 * hashtable_new: Creates a table for up to @capacity entries, 1 to 2^30, that forked processes do
 * not inherit.
 *
 * Returns 0 and sets @ret_table, which the caller frees with hashtable_free(); or a negative errno
 * of mmap(2), madvise(2) or getrandom(2).
 */
int hashtable_new(uint32_t capacity, Hashtable **ret_table);
Hashtable *hashtable_free(Hashtable *table);

/* hashtable_find: Returns the value of @key, which the caller may change, valid until the next
 * change of the table; NULL if @key is not in the table. */
uint32_t *hashtable_find(Hashtable *table, HashtableKey key);

/*
 * hashtable_add: Adds @key, which must not be in the table, with @value.
 *
 * Returns 0, or -ENOSPC if the table is full.
 */
int hashtable_add(Hashtable *table, HashtableKey key, uint32_t value);

/* hashtable_remove: Removes @key, which must be in the table. */
void hashtable_remove(Hashtable *table, HashtableKey key);
