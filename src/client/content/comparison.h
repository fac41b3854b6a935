/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/content/fault.h"
#include "client/content/pattern.h"

enum {
        /* The faults that a Comparison keeps; it counts all. */
        COMPARISON_FIRST_FAULTS = 10,
        COMPARISON_UNKNOWN_SIZE = 64 * 1024,
};

/* Compares the echo with the sent part of a Pattern and stores neither. At a difference it searches
 * the whole pattern for the received bytes, names the fault, and continues behind it. */
typedef struct Comparison {
        const Pattern *pattern;
        uint64_t total; /* the number of bytes to expect */

        uint64_t received;
        uint64_t position; /* the place in the pattern of the next expected byte */
        /* The first faults, and the number of all. */
        Fault first[COMPARISON_FIRST_FAULTS];
        uint64_t faults;
        /* The place in the pattern of the bytes that the first fault, a FAULT_DROPPED, left out. */
        uint64_t gap;
        bool lost;
        /* While lost: the number of bytes since the difference; the bits that differ from the bytes
         * expected there; and for each value how many more of it came than expected. */
        uint64_t lost_size;
        uint64_t bits;
        uint64_t surplus[UINT8_MAX + 1];
        /* The last of those bytes, without the first @forgotten ones. */
        uint64_t forgotten;
        size_t unknown_size;
        uint8_t unknown[COMPARISON_UNKNOWN_SIZE];
} Comparison;

/*
 * comparison_init: Prepares @comparison for the first @total bytes of @pattern, which it borrows.
 *
 * comparison_take: Compares the next @size received bytes.
 *
 * comparison_is_adrift: Returns whether @comparison has dropped bytes since the last difference and
 * recognized none.
 *
 * comparison_end: Judges the bytes that are still open at the end. With @complete no more bytes can
 * come, and the missing ones become a fault.
 */
void comparison_init(Comparison *comparison, const Pattern *pattern, uint64_t total);
void comparison_take(Comparison *comparison, const void *data, size_t size);
bool comparison_is_adrift(const Comparison *comparison);
void comparison_end(Comparison *comparison, bool complete);
