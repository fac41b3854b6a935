/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * seed_choose: seeds random(3) with another number each time, which it prints, or with that in the
 * environment variable MPECHO_SEED: a failure can be had again. Returns the seed.
 */
unsigned seed_choose(void);

/*
 * seed_fill: writes @size random bytes to @memory.
 */
void seed_fill(void *memory, size_t size);
