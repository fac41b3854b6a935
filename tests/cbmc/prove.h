/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The language of proofs: cbmc(1) tries every value that a nondet_…() can return, as far as
 * assume() lets it. */

bool nondet_bool(void);
int nondet_int(void);
unsigned nondet_unsigned(void);
size_t nondet_size(void);
uint32_t nondet_uint32(void);
uint64_t nondet_uint64(void);
off_t nondet_off(void);

#define assume(condition)          __CPROVER_assume(condition)
#define prove(condition, sentence) __CPROVER_assert(condition, sentence)

/* Fills @bytes with @size bytes of any value. */
static inline void fill(void *bytes, size_t size) {
        if (size > 0)
                __CPROVER_havoc_slice(bytes, size);
}

/* Makes @text any string of fewer than @size bytes. */
static inline void fill_text(char *text, size_t size) {
        fill(text, size);
        text[size - 1] = '\0';
}
