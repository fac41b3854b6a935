/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The files of the service's control group that are about memory. */
enum {
        HEADROOM_CURRENT,
        HEADROOM_HIGH,
        HEADROOM_MAX,
        HEADROOM_STAT,
        HEADROOM_FILES,
};

/* The memory of the service's control group, and its limits. */
typedef struct Headroom {
        int files[HEADROOM_FILES]; /* of cgroup_open(); negative where there is none */
        uint64_t deadline;         /* until when the answer is good */
        bool scarce;
} Headroom;

/* headroom_init: Finds the control group of this process. headroom_deinit: Closes its files. */
void headroom_init(Headroom *headroom);
void headroom_deinit(Headroom *headroom);

/* headroom_is_scarce: Returns whether the service has, at @now, too little memory for another
 * connection. Looks at most once in 10 ms. Without limits that can be read it never has. */
bool headroom_is_scarce(Headroom *headroom, uint64_t now);

/* headroom_lock: Keeps the pages of this process in memory, those of its code as well. Where
 * RLIMIT_MEMLOCK is too low for all, keeps those of its code. Children do not inherit that
 * (mlockall(2)). */
void headroom_lock(void);
