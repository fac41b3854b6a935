/* SPDX-License-Identifier: MIT */
/*
 * Raises soft limits to the hard ones, and finds the limit of the machine that bounds the number of
 * connections: descriptors, processes, or the tasks of this service.
 *
 * The result serves a warning alone and must not keep the service from starting, so an unreadable
 * limit counts as none. A control group above the service's can set a lower one; the master
 * backs off and logs "exhausted" when it meets that.
 */
#include "start/resources.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void resources_raise(void) {
        static const int resources[] = { RLIMIT_NOFILE, RLIMIT_NPROC };

        for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
                struct rlimit limit;

                if (getrlimit(resources[i], &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                        continue;
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(resources[i], &limit);
        }
}

static void resource_lower(Resource *resource, const char *name, uint64_t limit) {
        if (limit < resource->limit)
                *resource = (Resource){ .name = name, .limit = limit };
}

static void resource_lower_rlimit(Resource *resource, const char *name, int which) {
        struct rlimit limit;

        if (getrlimit(which, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
                resource_lower(resource, name, limit.rlim_cur);
}

/* Looks at this process's group in the unified hierarchy, number 0 (cgroups(7)), where systemd sets
 * TasksMax=. */
static void resource_lower_tasks(Resource *resource) {
        char line[1024], path[sizeof line + 64] = "";
        uint64_t limit;
        FILE *file;

        file = fopen("/proc/self/cgroup", "re");
        if (file == NULL)
                return;
        while (fgets(line, sizeof line, file) != NULL)
                if (strncmp(line, "0::", 3) == 0)
                        snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/pids.max",
                                 (int)strcspn(line + 3, "\n"), line + 3);
        fclose(file);

        file = fopen(path, "re");
        if (file == NULL)
                return;
        if (fscanf(file, "%" SCNu64, &limit) == 1)
                resource_lower(resource, "pids.max", limit);
        fclose(file);
}

Resource resources_scarcest(void) {
        Resource resource = { .name = "", .limit = UINT64_MAX };

        resource_lower_rlimit(&resource, "RLIMIT_NOFILE", RLIMIT_NOFILE);
        if (getuid() != 0)
                resource_lower_rlimit(&resource, "RLIMIT_NPROC", RLIMIT_NPROC);
        resource_lower_tasks(&resource);
        return resource;
}
