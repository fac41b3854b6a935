/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/fault.h"
#include "client/pattern.h"

typedef struct Comparison Comparison;

enum {
        /* How many faults are kept; all are counted. */
        COMPARISON_FIRST_FAULTS = 10,
        COMPARISON_UNKNOWN_SIZE = 64 * 1024,
};

/*
 * Compares what comes back with the part of a Pattern that was sent, without storing either. At a
 * difference it looks for the place in the pattern where the received bytes belong, however far
 * away that is, says from there what has happened, and goes on comparing.
 */
struct Comparison {
        const Pattern *pattern;
        /* How many bytes of the pattern are to come. */
        uint64_t total;

        uint64_t received;
        /* The place in the pattern that the next byte is expected to be of. */
        uint64_t position;
        /* The first faults, and the number of all. */
        Fault first[COMPARISON_FIRST_FAULTS];
        uint64_t faults;
        /* The place in the pattern of what the first fault, a FAULT_DROPPED, left out. */
        uint64_t gap;
        bool lost;
        /* While lost: how many bytes have come since, and how these differ from those that belong
         * there: the bits, and how many more times than it should each byte has come. */
        uint64_t lost_size;
        uint64_t bits;
        uint64_t surplus[UINT8_MAX + 1];
        /* The last of those bytes; the first @forgotten ones are gone. */
        uint64_t forgotten;
        size_t unknown_size;
        uint8_t unknown[COMPARISON_UNKNOWN_SIZE];
};

/*
 * comparison_init: makes @comparison expect the first @total bytes of @pattern, which is borrowed.
 */
void comparison_init(Comparison *comparison, const Pattern *pattern, uint64_t total);

/*
 * comparison_take: compares the next @size received bytes.
 */
void comparison_take(Comparison *comparison, const void *data, size_t size);

/*
 * comparison_is_adrift: whether more has come since the last difference than this remembers, and
 * nothing of it is what was sent.
 */
bool comparison_is_adrift(const Comparison *comparison);

/*
 * comparison_end: judges what could not be judged before. With @complete nothing more was to come,
 * and what has not come is missing.
 */
void comparison_end(Comparison *comparison, bool complete);
