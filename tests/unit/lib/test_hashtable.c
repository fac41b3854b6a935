/* SPDX-License-Identifier: MIT */
/* The map, held against a list. */

#include "lib/hashtable.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "unit.h"

enum {
        KEYS = 64,
};

/* What the table should have: whether each key is there, and with which value. */
typedef struct Model {
        bool used[KEYS];
        uint32_t values[KEYS];
        uint32_t count;
} Model;

/* Some differ in one half only. */
static HashtableKey key_of(uint32_t i) {
        return (HashtableKey){ .high = i % 8, .low = i / 8 };
}

static void compare(Hashtable *table, const Model *model) {
        for (uint32_t i = 0; i < KEYS; i++) {
                const uint32_t *value = hashtable_find(table, key_of(i));

                assert_int_equal(value != NULL, model->used[i]);
                if (value != NULL)
                        assert_int_equal(*value, model->values[i]);
        }
}

static void change(Hashtable *table, Model *model, uint32_t capacity, uint32_t i, uint32_t value) {
        if (model->used[i]) {
                hashtable_remove(table, key_of(i));
                model->used[i] = false;
                model->count--;
                return;
        }
        if (model->count == capacity) {
                assert_int_equal(hashtable_add(table, key_of(i), value), -ENOSPC);
                return;
        }
        assert_int_equal(hashtable_add(table, key_of(i), value), 0);
        model->used[i] = true;
        model->values[i] = value;
        model->count++;
}

/* After any additions and removals the table has what it should have and nothing else. A table as
 * small as these is often full, and its runs of entries often go round its end. */
static void test_random(void **state) {
        (void)state;
        srandom(862);
        for (uint32_t capacity = 1; capacity <= 40; capacity++) {
                Model model = {};
                Hashtable *table;

                assert_int_equal(hashtable_new(capacity, &table), 0);
                for (int i = 0; i < 2000; i++) {
                        uint32_t key = (uint32_t)random() % KEYS;

                        change(table, &model, capacity, key, (uint32_t)random());
                        if (i % 8 == 0 || capacity < 8)
                                compare(table, &model);
                }
                compare(table, &model);
                hashtable_free(table);
        }
}

/* A table takes as many entries as it has room for, not one more, and again after one has gone. */
static void test_full(void **state) {
        (void)state;
        for (uint32_t capacity = 1; capacity < 70; capacity++) {
                Hashtable *table;

                assert_int_equal(hashtable_new(capacity, &table), 0);
                for (uint32_t i = 0; i < capacity; i++)
                        assert_int_equal(hashtable_add(table, (HashtableKey){ .low = i }, i), 0);
                assert_int_equal(hashtable_add(table, (HashtableKey){ .low = capacity }, 0),
                                 -ENOSPC);
                assert_null(hashtable_find(table, (HashtableKey){ .low = capacity }));
                hashtable_remove(table, (HashtableKey){ .low = capacity / 2 });
                assert_int_equal(hashtable_add(table, (HashtableKey){ .low = capacity }, 7), 0);
                assert_int_equal(*hashtable_find(table, (HashtableKey){ .low = capacity }), 7);
                hashtable_free(table);
        }
}

/* The value that was found can be changed in place. */
static void test_change(void **state) {
        const HashtableKey key = { .high = UINT64_MAX, .low = UINT64_MAX };
        Hashtable *table;

        (void)state;
        assert_int_equal(hashtable_new(2, &table), 0);
        assert_int_equal(hashtable_add(table, key, 0), 0);
        assert_int_equal(hashtable_add(table, (HashtableKey){}, UINT32_MAX), 0);
        *hashtable_find(table, key) += 5;
        assert_int_equal(*hashtable_find(table, key), 5);
        assert_int_equal(*hashtable_find(table, (HashtableKey){}), UINT32_MAX);
        hashtable_free(table);
}

/* A table of no entries, and none, can be freed. */
static void test_nothing(void **state) {
        Hashtable *table;

        (void)state;
        assert_int_equal(hashtable_new(65536, &table), 0);
        assert_null(hashtable_find(table, (HashtableKey){}));
        assert_null(hashtable_free(table));
        assert_null(hashtable_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
