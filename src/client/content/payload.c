/* SPDX-License-Identifier: MIT */
/*
 * Makes datagrams that differ, so that each answer names its datagram.
 *
 * The datagram of number n is a part of a Pattern, at n times the size. Its first eight bytes are a
 * tag: a bijective mix of the number, with the seed of the pattern as its key. An answer of another
 * run, with another key, yields a number that this run has not reached.
 *
 * An answer with a damaged tag is found by the rest: any two aligned words determine their place in
 * the pattern, and so their datagram. Datagrams begin at multiples of a word for that reason.
 *
 * Datagrams of less than eight bytes carry as much of their number as fits, XORed with the key.
 * Numbers repeat then, and damage looks like another number. Datagrams of no bytes are all equal.
 *
 * Nothing here may depend on the service: an echo returns all bytes as they were.
 */
#include "client/content/payload.h"

#include <endian.h>
#include <string.h>

enum {
        /* The bytes that pattern_find() needs. */
        PAYLOAD_FOUND_SIZE = 2 * PATTERN_WORD_SIZE,
};

void payload_init(Payload *ret_payload, size_t size) {
        pattern_init(&ret_payload->pattern);
        ret_payload->size = size;
}

static uint64_t payload_stride(const Payload *payload) {
        return (payload->size + PATTERN_WORD_SIZE - 1) / PATTERN_WORD_SIZE * PATTERN_WORD_SIZE;
}

/* Returns the numbers that fit into a datagram shorter than a tag, as a mask of bits. */
static uint64_t payload_mask(const Payload *payload) {
        return (UINT64_C(1) << 8 * payload->size) - 1;
}

/* Returns the tag that fits into a short datagram; of that tag, the end of the number. */
static uint64_t payload_cut(const Payload *payload, uint64_t number) {
        return (number ^ payload->pattern.seed) & payload_mask(payload);
}

static uint64_t payload_tag(const Payload *payload, uint64_t number) {
        return payload->size < PAYLOAD_TAG_SIZE ? payload_cut(payload, number)
                                                : pattern_tag(&payload->pattern, number);
}

const void *payload_make(Payload *payload, uint64_t number) {
        const uint64_t tag = htole64(payload_tag(payload, number));

        pattern_fill(&payload->pattern, number * payload_stride(payload), payload->bytes,
                     payload->size);
        memcpy(payload->bytes, &tag,
               payload->size < PAYLOAD_TAG_SIZE ? payload->size : PAYLOAD_TAG_SIZE);
        return payload->bytes;
}

/* Finds the last number whose end is that of a short datagram. */
static bool payload_find_cut(const Payload *payload, uint64_t tag, uint64_t first, uint64_t end,
                             uint64_t *ret_number) {
        const uint64_t number = payload_cut(payload, tag), last = end - 1;
        const uint64_t behind = (last - number) & payload_mask(payload);

        if (behind > last - first)
                return false;
        *ret_number = last - behind;
        return true;
}

/* Finds the number by the words behind the tag. */
static bool payload_find_body(const Payload *payload, const uint8_t *data, size_t size,
                              uint64_t *ret_number) {
        const uint64_t stride = payload_stride(payload);
        uint64_t offset;

        for (size_t i = PAYLOAD_TAG_SIZE; i + PAYLOAD_FOUND_SIZE <= size; i += PATTERN_WORD_SIZE)
                if (pattern_find(&payload->pattern, data + i, UINT64_MAX, &offset) &&
                    offset % stride == i) {
                        *ret_number = offset / stride;
                        return true;
                }
        return false;
}

bool payload_find(const Payload *payload, const void *data, size_t size, uint64_t first,
                  uint64_t end, uint64_t *ret_number) {
        const size_t tagged = payload->size < PAYLOAD_TAG_SIZE ? payload->size : PAYLOAD_TAG_SIZE;
        uint64_t tag = 0, number;

        if (size < tagged || tagged == 0 || first >= end)
                return false;

        memcpy(&tag, data, tagged);
        tag = le64toh(tag);
        if (tagged < PAYLOAD_TAG_SIZE)
                return payload_find_cut(payload, tag, first, end, ret_number);

        number = pattern_number(&payload->pattern, tag);
        if ((number < first || number >= end) && !payload_find_body(payload, data, size, &number))
                return false;
        if (number < first || number >= end)
                return false;
        *ret_number = number;
        return true;
}

/* Describes the bytes from @offset on, the first of which differs. */
static Fault payload_describe(const uint8_t *sent, const uint8_t *received, size_t offset,
                              size_t size) {
        Fault fault = { .kind = FAULT_CHANGED,
                        .offset = offset,
                        .sent = sent[offset],
                        .received = received[offset] };

        for (size_t i = offset; i < size; i++)
                if (sent[i] != received[i]) {
                        fault.size = i - offset + 1;
                        fault.bits += (uint64_t)__builtin_popcount(sent[i] ^ received[i]);
                }
        return fault;
}

bool payload_compare(Payload *payload, uint64_t number, const void *data, size_t size,
                     Fault *ret_fault) {
        const uint8_t *sent = payload_make(payload, number), *received = data;
        const size_t common = size < payload->size ? size : payload->size;
        size_t offset = 0;

        if (size == payload->size && memcmp(sent, received, size) == 0)
                return true;

        while (offset < common && sent[offset] == received[offset])
                offset++;
        if (offset < common)
                *ret_fault = payload_describe(sent, received, offset, common);
        else if (size < payload->size)
                *ret_fault = (Fault){ .kind = FAULT_TRUNCATED,
                                      .offset = size,
                                      .size = payload->size - size };
        else
                *ret_fault = (Fault){ .kind = FAULT_INSERTED,
                                      .offset = common,
                                      .size = size - common };
        return false;
}
