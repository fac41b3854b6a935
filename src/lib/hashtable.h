/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Table Table;

/*
 * A map from 128-bit keys to 32-bit values in memory that is sized once: open addressing with
 * linear probing, and deletion by moving entries back (Knuth, The Art of Computer Programming
 * 3, 6.4, algorithm R). Finding, adding and removing take the same time however full it is meant to
 * get: it is at most half full.
 *
 * Keys come from peers, who could choose them so that they collide; where a key lands depends on a
 * random number that the table drew.
 */
typedef struct TableKey {
        uint64_t high;
        uint64_t low;
} TableKey;

/*
 * table_new: a table with room for @capacity entries, 1 to 2^30, that forked processes do not have.
 *
 * Returns 0 and sets @ret_table, which the caller frees with table_free(); or a negative errno.
 */
int table_new(uint32_t capacity, Table **ret_table);

/*
 * table_free: frees @table, which may be NULL. Returns NULL.
 */
Table *table_free(Table *table);

/*
 * table_find: the value of @key, for reading and writing until the table is changed next; NULL when
 * it has none.
 */
uint32_t *table_find(Table *table, TableKey key);

/*
 * table_add: adds @key, which must not be in the table, with @value.
 *
 * Returns 0, or -ENOSPC when the table has as many entries as it has room for.
 */
int table_add(Table *table, TableKey key, uint32_t value);

/*
 * table_remove: removes @key, which must be in the table.
 */
void table_remove(Table *table, TableKey key);
