/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/content/fault.h"
#include "client/content/pattern.h"

enum {
        /* The longest datagram of UDP over IPv6. */
        PAYLOAD_SIZE_MAXIMUM = 65527,
        /* The bytes that carry the number of a datagram. */
        PAYLOAD_TAG_SIZE = 8,
};

/* Makes the bytes of numbered datagrams, and finds the number of the datagram that an answer
 * belongs to. Another Payload makes other bytes. The caller may set @size before each datagram;
 * payload_compare() uses that of its datagram. */
typedef struct Payload {
        Pattern pattern;
        size_t size;
        uint8_t bytes[PAYLOAD_SIZE_MAXIMUM];
} Payload;

/*
 * payload_init: Prepares datagrams of @size bytes, at most PAYLOAD_SIZE_MAXIMUM, with a random key.
 *
 * payload_make: Returns the bytes of the datagram @number, below 2^47. They are valid until the
 * next call for @payload.
 */
void payload_init(Payload *ret_payload, size_t size);
const void *payload_make(Payload *payload, uint64_t number);

/*
 * payload_find: Finds the number of the datagram that an answer, or the beginning of a quoted
 * datagram, of @size bytes belongs to. @first up to @end - 1 are the numbers of sent datagrams.
 *
 * With at least PAYLOAD_TAG_SIZE bytes it finds the number of an intact tag; with 16 more, also
 * that of a damaged one. A shorter datagram carries the end of its number only: of all fitting
 * numbers, the last one is found, and a change of its bytes is not noticed.
 *
 * Returns true and sets @ret_number; or returns false, as it always does for no bytes.
 */
bool payload_find(const Payload *payload, const void *data, size_t size, uint64_t first,
                  uint64_t end, uint64_t *ret_number);

/*
 * payload_compare: Compares the @size bytes at @data with the datagram @number.
 *
 * Returns true if they are equal; or returns false and sets @ret_fault, whose offset counts from
 * the beginning of the datagram.
 */
bool payload_compare(Payload *payload, uint64_t number, const void *data, size_t size,
                     Fault *ret_fault);
