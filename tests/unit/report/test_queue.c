/* SPDX-License-Identifier: MIT */
/* Messages that wait: first in, first out. */

#include "report/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static Queue queue;

/* Message number @i, of a length that depends on it. Returns the length. */
static size_t message_of(unsigned i, char message[static 8192]) {
        size_t length = 20 + i * 7919 % 4000;

        memset(message, 'a' + (int)(i % 26), length);
        (void)snprintf(message, 20, "%u", i);
        return length;
}

static void expect_first(unsigned i) {
        char expected[8192];
        size_t size = 0, length = message_of(i, expected);
        const char *message = queue_first(&queue, &size);

        assert_non_null(message);
        assert_int_equal(size, length);
        assert_memory_equal(message, expected, length);
}

static int set_up(void **state) {
        (void)state;
        queue = (Queue){};
        return 0;
}

/* However many come and go, they come out whole and in order, and the queue takes any while it has
 * room. */
static void test_order(void **state) {
        unsigned in = 0, out = 0;
        size_t held = 0;

        (void)state;
        srandom(862);
        for (int i = 0; i < 20000; i++) {
                char message[8192];

                if (random() % 1000 < (i / 4000 % 2 == 0 ? 600 : 400)) {
                        size_t length = message_of(in, message);
                        bool fits = held + length + sizeof length <= QUEUE_SIZE;

                        assert_int_equal(queue_add(&queue, message, length), fits);
                        held += fits ? length + sizeof length : 0;
                        in += fits;
                } else if (in > out) {
                        expect_first(out);
                        held -= message_of(out, message) + sizeof held;
                        queue_remove(&queue);
                        out++;
                }
        }
        assert_in_range(in, 5000, 20000);
        for (; out < in; out++) {
                expect_first(out);
                queue_remove(&queue);
        }
        assert_null(queue_first(&queue, &held));
}

/* A full queue takes no more, keeps what it has, and takes more when one has gone. */
static void test_full(void **state) {
        char message[8192];
        unsigned n = 0;

        (void)state;
        while (queue_add(&queue, message, message_of(n, message)))
                n++;
        assert_in_range(n, QUEUE_SIZE / 4100, QUEUE_SIZE / 28);
        expect_first(0);
        queue_remove(&queue);
        expect_first(1);
        assert_true(queue_add(&queue, "x", 1));
        for (unsigned i = 1; i < n; i++) {
                expect_first(i);
                queue_remove(&queue);
        }
        queue_remove(&queue);
        assert_null(queue_first(&queue, &(size_t){ 0 }));
}

/* A message may take all the room that there is, to the byte. */
static void test_largest(void **state) {
        static char message[QUEUE_SIZE];
        size_t size;

        (void)state;
        assert_false(queue_add(&queue, message, QUEUE_SIZE - sizeof size + 1));
        assert_true(queue_add(&queue, message, QUEUE_SIZE - sizeof size));
        assert_false(queue_add(&queue, message, 1));
        assert_non_null(queue_first(&queue, &size));
        assert_int_equal(size, QUEUE_SIZE - sizeof size);
        queue_remove(&queue);
        assert_true(queue_add(&queue, message, 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_order, set_up),
                cmocka_unit_test_setup(test_full, set_up),
                cmocka_unit_test_setup(test_largest, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
