/* SPDX-License-Identifier: MIT */
/*
 * Makes the bytes of streams, which a sender and a receiver in another process must agree on.
 *
 * A prime number of bytes is sent over and over again. Each turn begins at another place of them,
 * and each connection's first turn at a place of its own. So a lost, repeated or moved block shows,
 * even if its size is that of a turn, and so do the bytes of another connection.
 *
 * Nothing here may store anything of a stream.
 */
#include "client/load/reel.h"

#include <string.h>

#include "client/content/pattern.h"

enum {
        /* From the beginning of a turn to that of the next, and from the first one of a connection
         * to that of another, whose bytes must differ. With the period, all three are primes. */
        REEL_SHIFT = 13933,
        REEL_STRIDE = 16381,
};

void reel_init(Reel *ret_reel) {
        Pattern pattern;

        pattern_init(&pattern);
        pattern_fill(&pattern, 0, ret_reel->bytes, REEL_PERIOD);
        memcpy(ret_reel->bytes + REEL_PERIOD, ret_reel->bytes, REEL_PERIOD);
}

const uint8_t *reel_piece(const Reel *reel, size_t i, uint64_t before, size_t size,
                          size_t *ret_size) {
        const uint64_t turn = before / REEL_PERIOD % REEL_PERIOD;
        const size_t place = before % REEL_PERIOD, left = REEL_PERIOD - place;

        *ret_size = size < left ? size : left;
        return reel->bytes + (i * REEL_STRIDE + turn * REEL_SHIFT) % REEL_PERIOD + place;
}

bool reel_equals(const Reel *reel, size_t i, uint64_t before, const uint8_t *data, size_t size) {
        for (size_t done = 0, n; done < size; done += n) {
                const uint8_t *piece = reel_piece(reel, i, before + done, size - done, &n);

                if (memcmp(data + done, piece, n) != 0)
                        return false;
        }
        return true;
}
