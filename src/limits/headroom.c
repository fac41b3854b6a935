/* SPDX-License-Identifier: MIT */
/*
 * Watches the limits on memory that systemd sets for the service (MemoryHigh= and MemoryMax=).
 *
 * Above memory.high the kernel halts each process that takes more memory, for up to two seconds. At
 * memory.max it kills one. The master refuses clients first: a quarter of the lower limit is for
 * connections that live, whose buffers grow. The kernel gives the cache of files back when memory
 * is needed, so that does not count.
 *
 * Above memory.high it also takes back the code of the service, as far as no process has locked it.
 * A master that has to read its code again at each step, and is halted each time, refuses nobody
 * and does not feed systemd's watchdog in time. The kernel locks all of a process or nothing
 * (mlockall(2)), and outside of the unit the limit on locked memory is often 8 MiB, a little less
 * than the master has mapped. Then the master locks its code alone.
 *
 * Nothing here may run without a client. A group above the service's can have a lower limit, which
 * the master does not see.
 */
#include "limits/headroom.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/descriptor.h"
#include "start/cgroup.h"

/* How long the answer is good: a flood of clients costs no more than 100 of them a second. */
#define HEADROOM_PAUSE (10 * CLOCK_MILLISECOND)

enum {
        /* The part of the limit that is for connections that live. */
        SPARE_PART = 4,
};

void headroom_init(Headroom *headroom) {
        static const char *const names[HEADROOM_FILES] = {
                [HEADROOM_CURRENT] = "memory.current",
                [HEADROOM_HIGH] = "memory.high",
                [HEADROOM_MAX] = "memory.max",
                [HEADROOM_STAT] = "memory.stat",
        };

        *headroom = (Headroom){};
        for (int i = 0; i < HEADROOM_FILES; i++)
                headroom->files[i] = cgroup_open(names[i]);
}

void headroom_deinit(Headroom *headroom) {
        for (int i = 0; i < HEADROOM_FILES; i++)
                headroom->files[i] = descriptor_close(headroom->files[i]);
}

/* Returns whether the control group uses its part of the lower limit, but for the cache. */
static bool headroom_look(const Headroom *headroom) {
        const uint64_t high = cgroup_read(headroom->files[HEADROOM_HIGH]);
        const uint64_t max = cgroup_read(headroom->files[HEADROOM_MAX]);
        const uint64_t used = cgroup_read(headroom->files[HEADROOM_CURRENT]);
        const uint64_t limit = high < max ? high : max;
        const uint64_t most = limit - limit / SPARE_PART;

        if (limit == UINT64_MAX || used == UINT64_MAX || used < most)
                return false;
        return used - most >=
               cgroup_read_key(headroom->files[HEADROOM_STAT], "inactive_file") +
                               cgroup_read_key(headroom->files[HEADROOM_STAT], "active_file");
}

bool headroom_is_scarce(Headroom *headroom, uint64_t now) {
        if (headroom->files[HEADROOM_CURRENT] >= 0 && now >= headroom->deadline) {
                headroom->deadline = now + HEADROOM_PAUSE;
                headroom->scarce = headroom_look(headroom);
        }
        return headroom->scarce;
}

/* Locks what the kernel can read again of one file: code and constants; called by
 * dl_iterate_phdr(3). */
static int code_lock(struct dl_phdr_info *file, size_t size, void *data) {
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)size;
        (void)data;
        for (ElfW(Half) i = 0; i < file->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &file->dlpi_phdr[i];
                const uintptr_t start = (file->dlpi_addr + segment->p_vaddr) & ~(page - 1);
                const uintptr_t end = file->dlpi_addr + segment->p_vaddr + segment->p_memsz;

                if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) == 0)
                        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the linker has numbers only */
                        (void)mlock2((void *)start, end - start, MLOCK_ONFAULT);
        }
        return 0;
}

void headroom_lock(void) {
        if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0)
                (void)dl_iterate_phdr(code_lock, NULL);
}
