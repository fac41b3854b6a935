/* SPDX-License-Identifier: MIT */
#include "lib/memory.h"

#include <errno.h>
#include <sys/mman.h>

void *memory_new_private(size_t size) {
        /* All at once: there are no page faults later, and no want of memory. */
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (memory == MAP_FAILED)
                return NULL;
        if (madvise(memory, size, MADV_DONTFORK) < 0) {
                int error = errno;

                memory = memory_free(memory, size);
                errno = error;
        }
        return memory;
}

void *memory_new_shared(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return memory == MAP_FAILED ? NULL : memory;
}

void *memory_free(void *memory, size_t size) {
        if (memory != NULL)
                (void)munmap(memory, size);
        return NULL;
}
