/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <string.h>

enum {
        PATTERN = 'x',
};

void fuzz_fill(void *memory, size_t size) {
        memset(memory, PATTERN, size);
}

bool fuzz_is_filled(const void *memory, size_t size) {
        const unsigned char *bytes = memory;

        while (size > 0 && bytes[size - 1] == PATTERN)
                size--;
        return size == 0;
}

void *fuzz_copy(const void *data, size_t size) {
        void *copy = malloc(size > 0 ? size : 1);

        FUZZ_CHECK(copy != NULL);
        if (size > 0)
                memcpy(copy, data, size);
        return copy;
}
