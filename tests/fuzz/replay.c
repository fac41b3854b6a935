/* SPDX-License-Identifier: MIT */
/* Runs each file given through a fuzzer once, with any compiler: the properties that fuzzing
 * checks, held for the seeds. */

#include <errno.h>
#include <string.h>

#include "fuzz.h"

enum {
        SEED_SIZE = 1 << 20,
};

/* In memory of its own size, so that reading beyond its end is seen. */
static void replay(const char *path) {
        static uint8_t room[SEED_SIZE];
        FILE *file = fopen(path, "re");
        uint8_t *data;
        size_t size;

        if (file == NULL) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                exit(EXIT_FAILURE);
        }
        size = fread(room, 1, sizeof room, file);
        FUZZ_CHECK(ferror(file) == 0 && fgetc(file) == EOF);
        fclose(file);
        data = malloc(size);
        FUZZ_CHECK(data != NULL || size == 0);
        if (size > 0)
                memcpy(data, room, size);
        (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
}

int main(int argc, char **argv) {
        if (argc < 2) {
                fprintf(stderr, "Usage: %s FILE...\n", argv[0]);
                return 2;
        }
        for (int i = 1; i < argc; i++) {
                /* First, so that it is the last line when something does not hold. */
                printf("[ REPLAY   ] %s\n", argv[i]);
                fflush(stdout);
                replay(argv[i]);
        }
        printf("[  PASSED  ] %d seed(s).\n", argc - 1);
        return 0;
}
