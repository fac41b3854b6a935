/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Memory Memory;

/* The files of the service's control group that are about memory. */
enum {
        MEMORY_CURRENT,
        MEMORY_HIGH,
        MEMORY_MAX,
        MEMORY_STAT,
        MEMORY_FILES,
};

/* The memory of the service's control group, and its limits. */
struct Memory {
        int files[MEMORY_FILES]; /* of cgroup_open(); negative where there is none */
        uint64_t deadline;       /* until when the answer is good */
        bool scarce;
};

/*
 * memory_init: Finds the control group of this process. memory_deinit: Closes its files.
 */
void memory_init(Memory *memory);
void memory_deinit(Memory *memory);

/*
 * memory_is_scarce: Returns whether the service has, at @now, too little memory for another
 * connection. Looks at most once in 10 ms. Without limits that can be read it never has.
 */
bool memory_is_scarce(Memory *memory, uint64_t now);

/*
 * memory_keep: Keeps the pages of this process in memory, those of its code as well, where
 * RLIMIT_MEMLOCK allows. Children do not inherit that (mlockall(2)).
 */
void memory_keep(void);
