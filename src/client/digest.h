/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Digest Digest;

/*
 * A number that stands for a stream of bytes, however it is cut into pieces. An object of zero
 * bytes is that of no bytes. Two streams of the same length that differ have different numbers but
 * by a chance of 2^-64; it is no defence against an adversary.
 */
struct Digest {
        uint64_t value;
        /* Bytes that are not yet a whole word. */
        uint64_t word;
        size_t pending;
};

/*
 * digest_add: adds the next @size bytes at @data to the stream.
 */
void digest_add(Digest *digest, const void *data, size_t size);

/*
 * digest_get: returns the number of the stream so far.
 */
uint64_t digest_get(const Digest *digest);
