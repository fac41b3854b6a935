/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Instants are microseconds of CLOCK_MONOTONIC, which setting the time of day does not move. */

#define CLOCK_SECOND ((uint64_t)1000 * 1000)
#define CLOCK_NEVER  UINT64_MAX

/*
 * clock_now: this instant.
 */
uint64_t clock_now(void);

/*
 * clock_earlier: the earlier of two instants, either of which may be CLOCK_NEVER.
 */
uint64_t clock_earlier(uint64_t one, uint64_t other);
