/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Hashtable Hashtable;

/*
 * A map from 128-bit keys to 32-bit values in memory that is sized once: open addressing with
 * linear probing, and deletion by moving entries back (Knuth, The Art of Computer Programming
 * 3, 6.4, algorithm R). Finding, adding and removing take the same time however full it is meant to
 * get: it is at most half full.
 *
 * Keys come from peers, who could choose them so that they collide; where a key lands depends on a
 * random number that the table drew.
 */
typedef struct HashtableKey {
        uint64_t high;
        uint64_t low;
} HashtableKey;

/*
 * hashtable_new: a table with room for @capacity entries, 1 to 2^30, that forked processes do not
 * have.
 *
 * Returns 0 and sets @ret_table, which the caller frees with hashtable_free(); or a negative errno.
 */
int hashtable_new(uint32_t capacity, Hashtable **ret_table);

/*
 * hashtable_free: frees @table, which may be NULL. Returns NULL.
 */
Hashtable *hashtable_free(Hashtable *table);

/*
 * hashtable_find: the value of @key, for reading and writing until the table is changed next; NULL
 * when it has none.
 */
uint32_t *hashtable_find(Hashtable *table, HashtableKey key);

/*
 * hashtable_add: adds @key, which must not be in the table, with @value.
 *
 * Returns 0, or -ENOSPC when the table has as many entries as it has room for.
 */
int hashtable_add(Hashtable *table, HashtableKey key, uint32_t value);

/*
 * hashtable_remove: removes @key, which must be in the table.
 */
void hashtable_remove(Hashtable *table, HashtableKey key);
