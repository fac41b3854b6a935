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
 * and does not feed systemd's watchdog in time.
 *
 * Nothing here may run without a client. A group above the service's can have a lower limit, which
 * the master does not see.
 */
#include "server/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include "lib/cgroup.h"
#include "lib/clock.h"

/* How long the answer is good: a flood of clients costs no more than 100 of them a second. */
#define MEMORY_REST (10 * CLOCK_MILLISECOND)

enum {
        /* The part of the limit that is for connections that live. */
        SPARE_PART = 4,
};

void memory_init(Memory *memory) {
        static const char *const names[MEMORY_FILES] = {
                [MEMORY_CURRENT] = "memory.current",
                [MEMORY_HIGH] = "memory.high",
                [MEMORY_MAX] = "memory.max",
                [MEMORY_STAT] = "memory.stat",
        };

        *memory = (Memory){};
        for (int i = 0; i < MEMORY_FILES; i++)
                memory->files[i] = cgroup_open(names[i]);
}

void memory_deinit(Memory *memory) {
        for (int i = 0; i < MEMORY_FILES; i++) {
                if (memory->files[i] >= 0)
                        close(memory->files[i]);
                memory->files[i] = -1;
        }
}

/* Returns whether the control group uses its part of the lower limit, but for the cache. */
static bool memory_look(const Memory *memory) {
        const uint64_t high = cgroup_read(memory->files[MEMORY_HIGH]);
        const uint64_t max = cgroup_read(memory->files[MEMORY_MAX]);
        const uint64_t used = cgroup_read(memory->files[MEMORY_CURRENT]);
        const uint64_t limit = high < max ? high : max;
        const uint64_t most = limit - limit / SPARE_PART;

        if (limit == UINT64_MAX || used == UINT64_MAX || used < most)
                return false;
        return used - most >=
               cgroup_read_key(memory->files[MEMORY_STAT], "inactive_file") +
                               cgroup_read_key(memory->files[MEMORY_STAT], "active_file");
}

bool memory_is_scarce(Memory *memory, uint64_t now) {
        if (memory->files[MEMORY_CURRENT] >= 0 && now >= memory->deadline) {
                memory->deadline = now + MEMORY_REST;
                memory->scarce = memory_look(memory);
        }
        return memory->scarce;
}

void memory_keep(void) {
        (void)mlockall(MCL_CURRENT | MCL_ONFAULT);
}
