/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Resource Resource;

/*
 * What of the machine limits the number of connections.
 */
struct Resource {
        const char *name; /* "RLIMIT_NOFILE", "RLIMIT_NPROC" or "pids.max" */
        uint64_t limit;   /* how many it allows */
};

/*
 * resources_raise: raises the soft limits on descriptors and processes to the hard ones
 * (getrlimit(2)), as far as this process may; what it may not stays as it is.
 */
void resources_raise(void);

/*
 * resources_scarcest: the resource that allows the fewest connections: one process each, and one
 * descriptor each for the time in which they are handed over. RLIMIT_NPROC does not bind root
 * (setrlimit(2)); of pids.max the lowest on the way from this process's control group to the root
 * counts (cgroups(7)).
 */
Resource resources_scarcest(void);
