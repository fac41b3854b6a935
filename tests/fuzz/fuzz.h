/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What a fuzzer and a replay of its seeds have in common. Each fuzz_NAME.c has the one function
 * below, and its first line says what must hold for any input.
 */

/*
 * LLVMFuzzerTestOneInput: libFuzzer's entry (https://llvm.org/docs/LibFuzzer.html): runs the code
 * under test with the @size bytes @data, and aborts where a property does not hold. Returns 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert(3), it is there under NDEBUG as well. */
#define FUZZ_CHECK(condition)                                                                      \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
                                #condition);                                                       \
                        abort();                                                                   \
                }                                                                                  \
        } while (0)

/*
 * fuzz_fill: writes a pattern to the @size bytes @memory. fuzz_is_filled: whether it is there
 * still: what a function that fails is to leave alone, it did.
 */
void fuzz_fill(void *memory, size_t size);
bool fuzz_is_filled(const void *memory, size_t size);

/*
 * fuzz_copy: Returns a copy of the @size bytes at @data that ends where it says: a sanitizer finds
 * a read behind it. The caller frees it.
 */
void *fuzz_copy(const void *data, size_t size);
