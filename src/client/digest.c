/* SPDX-License-Identifier: MIT */
/*
 * Lets two processes compare streams that neither of them stores: the sender computes the digest of
 * what it sent, the receiver that of what came back, and both are the same when the bytes are.
 *
 * Each word of eight bytes is mixed into the value by a multiplication and a shift, both of which
 * can be undone: a change of one word always changes the value, and so does an exchange of two but
 * by chance. The last, incomplete word counts with zeros behind it; lengths are compared elsewhere.
 */
#include "client/digest.h"

#include <string.h>

#define DIGEST_FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t digest_mix(uint64_t value, uint64_t word) {
        value = (value ^ word) * DIGEST_FACTOR;
        return value ^ value >> 32;
}

/* Takes as many bytes as complete the pending word, or all; returns how many. */
static size_t digest_complete(Digest *digest, const uint8_t *bytes, size_t size) {
        size_t room = sizeof digest->word - digest->pending, n = size < room ? size : room;

        memcpy((uint8_t *)&digest->word + digest->pending, bytes, n);
        digest->pending += n;
        if (digest->pending == sizeof digest->word) {
                digest->value = digest_mix(digest->value, digest->word);
                digest->word = digest->pending = 0;
        }
        return n;
}

void digest_add(Digest *digest, const void *data, size_t size) {
        const uint8_t *bytes = data;
        size_t done = digest->pending > 0 ? digest_complete(digest, bytes, size) : 0;
        uint64_t value = digest->value, word;

        for (; size - done >= sizeof word; done += sizeof word) {
                memcpy(&word, bytes + done, sizeof word);
                value = digest_mix(value, word);
        }
        digest->value = value;
        if (done < size)
                (void)digest_complete(digest, bytes + done, size - done);
}

uint64_t digest_get(const Digest *digest) {
        return digest_mix(digest->value, digest->word);
}
