/* SPDX-License-Identifier: MIT */
/*
 * Maps the memory of the master, once at its start. Handlers do not inherit it (MADV_DONTFORK): a
 * fork stays cheap, and a compromised handler cannot read about other connections.
 */
#include "lib/memory.h"

#include <errno.h>
#include <sys/mman.h>

/* Of Linux 6.3; the headers of Debian 12 are older. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

void *memory_new_unforked(size_t size) {
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

int memory_new_file(const char *name) {
        int fd;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        /* Linux before 6.3 does not know MFD_NOEXEC_SEAL; vm.memfd_noexec=2 insists on it. */
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? -errno : fd;
}

void *memory_free(void *memory, size_t size) {
        if (memory != NULL)
                (void)munmap(memory, size);
        return NULL;
}
