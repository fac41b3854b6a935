/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Instants and durations in nanoseconds, of CLOCK_MONOTONIC (clock_gettime(2)). */

#define INSTANT_MILLISECOND UINT64_C(1000000)
#define INSTANT_SECOND      UINT64_C(1000000000)
#define INSTANT_NEVER       UINT64_MAX

/*
 * instant_now: this instant.
 */
uint64_t instant_now(void);

/*
 * instant_timeout: the milliseconds from @now to @then, rounded up, as poll(2) takes them: 0 when
 * @then is past, -1 when it is INSTANT_NEVER.
 */
int instant_timeout(uint64_t now, uint64_t then);
