/* SPDX-License-Identifier: MIT */
/*
 * Maps memory: private to one process, shared with its children, or a file that outlives both.
 *
 * The service uses the private kind and files; the client's processes share counters and digests.
 *
 * The master maps its tables once, at its start, so that it never fails for lack of memory while it
 * serves. Handlers do not inherit the private ones: the address space of a child has a hole there.
 * So a compromised handler cannot read about other connections, and a fork copies no page tables of
 * them. malloc(3) cannot promise that: its blocks share pages with each other.
 *
 * Nothing here may map memory that is both writable and executable: the unit forbids it.
 */
#include "lib/mapping.h"

#include <errno.h>
#include <sys/mman.h>

/* The headers of Debian 12 are older than Linux 6.3. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

void *mapping_new_unforked(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return NULL;
        if (madvise(memory, size, MADV_DONTFORK) < 0) {
                int error = errno;

                mapping_free(memory, size);
                errno = error;
                return NULL;
        }
        /* With all pages present, the master neither faults nor lacks memory later. Without pages
         * until here, the kernel joins it with its neighbour, and a fork leaves out one mapping. */
        (void)madvise(memory, size, MADV_POPULATE_WRITE);
        return memory;
}

void *mapping_new_shared(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return memory == MAP_FAILED ? NULL : memory;
}

int mapping_new_file(const char *name) {
        int fd;

        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        /* Linux before 6.3 rejects MFD_NOEXEC_SEAL; vm.memfd_noexec=2 requires it. */
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? -errno : fd;
}

void *mapping_free(void *memory, size_t size) {
        if (memory != NULL)
                (void)munmap(memory, size);
        return NULL;
}
