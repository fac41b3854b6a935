/* SPDX-License-Identifier: MIT */
/*
 * Hashes a stream, so that two processes can compare streams that neither of them stores: the
 * sender hashes the sent bytes, the receiver those of the echo, and equal streams have equal
 * hashes.
 *
 * A multiplication and a shift mix each word of eight bytes into the value. Both are invertible: a
 * change of one word always changes the value, and an exchange of two words almost always. The
 * last, incomplete word is padded with zeros; the caller compares lengths.
 *
 * The hash must not depend on the pieces in which bytes come, and it resists no adversary.
 */
#include "client/content/digest.h"

#include <string.h>

#define DIGEST_FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t digest_mix(uint64_t value, uint64_t word) {
        value = (value ^ word) * DIGEST_FACTOR;
        return value ^ value >> 32;
}

/* Takes as many bytes as complete the pending word, or all; returns their number. */
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
