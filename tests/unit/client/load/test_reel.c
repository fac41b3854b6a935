/* SPDX-License-Identifier: MIT */
/* The bytes of streams. */

#include "client/load/reel.h"

#include <string.h>

#include "unit.h"

enum {
        SIZE = 3 * REEL_PERIOD,
};

static Reel reel;
static uint8_t stream[SIZE];

/* Writes the bytes of connection @i behind the first @before ones. */
static void copy(size_t i, uint64_t before) {
        for (size_t done = 0, n; done < SIZE; done += n) {
                const uint8_t *piece = reel_piece(&reel, i, before + done, SIZE - done, &n);

                assert_in_range(n, 1, SIZE - done);
                memcpy(stream + done, piece, n);
        }
}

static int choose(void **state) {
        (void)state;
        reel_init(&reel);
        return 0;
}

/* A stream is the same however it is divided, also far behind its beginning. */
static void test_pieces(void **state) {
        static const uint64_t places[] = { 0, 1, REEL_PERIOD - 1, UINT64_C(1) << 40 };

        (void)state;
        for (size_t i = 0; i < COUNT(places); i++) {
                copy(3, places[i]);
                assert_true(reel_equals(&reel, 3, places[i], stream, SIZE));
                for (size_t from = 0; from < SIZE; from += 1021)
                        assert_true(reel_equals(&reel, 3, places[i] + from, stream + from,
                                                SIZE - from));
        }
}

/* A changed byte shows, and so does a block that is missing or comes twice, even if it has the size
 * of a turn; and the bytes of another connection. */
static void test_damage(void **state) {
        (void)state;
        copy(0, 0);
        stream[SIZE - 1] ^= 1;
        assert_false(reel_equals(&reel, 0, 0, stream, SIZE));
        for (uint64_t block = 1; block <= UINT64_C(2) * REEL_PERIOD; block *= 2) {
                copy(0, block);
                assert_false(reel_equals(&reel, 0, 0, stream, SIZE));
        }
        for (size_t turns = 1; turns < 100; turns++) {
                copy(0, turns * REEL_PERIOD);
                assert_false(reel_equals(&reel, 0, 0, stream, 64));
        }
        for (size_t other = 1; other < 1000; other++) {
                copy(other, 0);
                assert_false(reel_equals(&reel, 0, 0, stream, 64));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pieces),
                cmocka_unit_test(test_damage),
        };

        return cmocka_run_group_tests(tests, choose, NULL);
}
