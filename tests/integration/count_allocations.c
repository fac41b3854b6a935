/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, counts the calls to malloc(3) and its kin in the process that it is loaded into, not
 * in the children. The count is the uint64_t in the file that COUNT_FILE names.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc gives its functions these names as well. */
/* NOLINTBEGIN(clang-diagnostic-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
/* NOLINTEND(clang-diagnostic-reserved-identifier) */

static uint64_t *count;
static pid_t counted;

__attribute__((constructor)) static void count_init(void) {
        const char *path = getenv("COUNT_FILE");
        int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *memory;

        if (fd < 0)
                abort();
        memory = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                abort();
        close(fd);
        count = memory;
        counted = getpid();
}

static void count_one(void) {
        if (count != NULL && getpid() == counted)
                ++*count;
}

void *malloc(size_t size) {
        count_one();
        return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        count_one();
        return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
        count_one();
        return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
        count_one();
        return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
        count_one();
        return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
        count_one();
        *memory = __libc_memalign(alignment, size);
        return *memory != NULL ? 0 : 12;
}
