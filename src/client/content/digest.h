/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A hash of a stream of bytes, the same for any division into pieces. An object of zero bytes is
 * the hash of the empty stream. Two different streams of the same length have equal hashes with a
 * probability of 2^-64. It resists no adversary. */
typedef struct Digest {
        uint64_t value;
        /* Bytes that do not fill a word yet. */
        uint64_t word;
        size_t pending;
} Digest;

/*
 * digest_add: Adds the next @size bytes at @data to the stream.
 *
 * digest_get: Returns the hash of the stream so far.
 */
void digest_add(Digest *digest, const void *data, size_t size);
uint64_t digest_get(const Digest *digest);
