/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* A resource of the machine, and how many connections it allows. */
typedef struct Resource {
        const char *name; /* "RLIMIT_NOFILE", "RLIMIT_NPROC" or "pids.max"; empty for none */
        uint64_t limit;
} Resource;

/* resources_raise: Raises the soft limits on descriptors and processes to the hard ones
 * (setrlimit(2)). Those that this process may not raise stay as they are. */
void resources_raise(void);

/* resources_scarcest: Returns the resource that allows the fewest connections. Each needs one
 * process, and one descriptor while its handler hands it over. RLIMIT_NPROC does not bind root
 * (setrlimit(2)); pids.max is that of this process's control group (cgroups(7)). */
Resource resources_scarcest(void);
