/* SPDX-License-Identifier: MIT */
#include "seed.h"

#include <stdlib.h>
#include <time.h>

#include "unit.h"

unsigned seed_choose(void) {
        const char *text = getenv("MPECHO_SEED");
        struct timespec now;
        unsigned seed;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = text != NULL ? (unsigned)strtoul(text, NULL, 10)
                            : (unsigned)now.tv_sec ^ (unsigned)now.tv_nsec;
        print_message("MPECHO_SEED=%u\n", seed);
        srandom(seed);
        return seed;
}

void seed_fill(void *memory, size_t size) {
        unsigned char *bytes = memory;

        for (size_t i = 0; i < size; i++)
                bytes[i] = (unsigned char)(random() >> 8);
}
