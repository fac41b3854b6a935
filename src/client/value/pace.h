/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* More would overflow. */
#define PACE_MOST (UINT64_MAX / 1000)

/* A limit of the bytes sent since an instant. */
typedef struct Pace {
        uint64_t start;
        uint64_t rate; /* bytes a second, at most PACE_MOST; 0 for no limit */
} Pace;

/*
 * pace_due: Returns the instant at which the limit allows @bytes bytes.
 *
 * pace_allowance: Returns the number of bytes that the limit allows at the instant @now; UINT64_MAX
 * without a limit.
 *
 * pace_piece: Returns the number of bytes to send at once, from 1 to @size: the share of 5
 * milliseconds, so that the stream is even.
 */
uint64_t pace_due(const Pace *pace, uint64_t bytes);
uint64_t pace_allowance(const Pace *pace, uint64_t now);
size_t pace_piece(const Pace *pace, size_t size);
