/* SPDX-License-Identifier: MIT */
/*
 * A hash table of fixed size: open addressing with linear probing. It has at least twice as many
 * places as entries, so a search ends after a few of them at an empty one.
 *
 * Removing an entry moves later ones back into the hole (Knuth, The Art of Computer Programming 3,
 * 6.4, algorithm R). So the table has no tombstones, and does not slow down with age.
 *
 * Peers influence the keys, such as their addresses. A random seed determines the place of each
 * key, so that nobody can choose keys that collide. Nothing here may grow the table or allocate
 * memory after hashtable_new().
 */
#include "lib/hashtable.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/random.h>

#include "lib/mapping.h"

typedef struct TableEntry {
        HashtableKey key;
        uint32_t value;
        bool used;
} TableEntry;

struct Hashtable {
        size_t size; /* of the whole table, in bytes */
        uint64_t seed;
        uint32_t capacity;
        uint32_t used;
        uint32_t mask; /* the number of entries, a power of two, less one */
        TableEntry entries[];
};

int hashtable_new(uint32_t capacity, Hashtable **ret_table) {
        uint32_t places = 2;
        uint64_t seed;
        size_t size;
        Hashtable *table;

        while (places < 2 * capacity)
                places *= 2;
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                return -errno;
        size = sizeof *table + places * sizeof table->entries[0];
        table = mapping_new_unforked(size);
        if (table == NULL)
                return -errno;
        table->size = size;
        table->seed = seed;
        table->capacity = capacity;
        table->mask = places - 1;
        *ret_table = table;
        return 0;
}

Hashtable *hashtable_free(Hashtable *table) {
        return table != NULL ? mapping_free(table, table->size) : NULL;
}

/* The finalizer of MurmurHash3 (Austin Appleby, public domain) over both halves. */
static uint32_t table_home(const Hashtable *table, HashtableKey key) {
        uint64_t hash = table->seed;

        for (int i = 0; i < 2; i++) {
                hash ^= i == 0 ? key.high : key.low;
                hash ^= hash >> 33;
                hash *= 0xff51afd7ed558ccdULL;
                hash ^= hash >> 33;
                hash *= 0xc4ceb9fe1a85ec53ULL;
                hash ^= hash >> 33;
        }
        return (uint32_t)hash & table->mask;
}

/* Returns the place of @key, or the free place for it. */
static uint32_t table_place(const Hashtable *table, HashtableKey key) {
        uint32_t place = table_home(table, key);

        for (;; place = (place + 1) & table->mask) {
                const TableEntry *entry = &table->entries[place];

                if (!entry->used || (entry->key.high == key.high && entry->key.low == key.low))
                        return place;
        }
}

uint32_t *hashtable_find(Hashtable *table, HashtableKey key) {
        TableEntry *entry = &table->entries[table_place(table, key)];

        return entry->used ? &entry->value : NULL;
}

int hashtable_add(Hashtable *table, HashtableKey key, uint32_t value) {
        if (table->used == table->capacity)
                return -ENOSPC;
        table->entries[table_place(table, key)] =
                        (TableEntry){ .key = key, .value = value, .used = true };
        table->used++;
        return 0;
}

void hashtable_remove(Hashtable *table, HashtableKey key) {
        uint32_t hole = table_place(table, key);

        assert(table->entries[hole].used);
        for (uint32_t place = hole;;) {
                uint32_t home;

                place = (place + 1) & table->mask;
                if (!table->entries[place].used)
                        break;
                /* Only an entry whose search passes the hole can move there. */
                home = table_home(table, table->entries[place].key);
                if (((place - home) & table->mask) >= ((place - hole) & table->mask)) {
                        table->entries[hole] = table->entries[place];
                        hole = place;
                }
        }
        table->entries[hole].used = false;
        table->used--;
}
