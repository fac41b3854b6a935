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

#include <sys/resource.h>
#include <unistd.h>

#include "start/cgroup.h"

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

static void resource_lower_tasks(Resource *resource) {
        const int fd = cgroup_open("pids.max");

        if (fd < 0)
                return;
        resource_lower(resource, "pids.max", cgroup_read(fd));
        close(fd);
}

Resource resources_scarcest(void) {
        Resource resource = { .name = "", .limit = UINT64_MAX };

        resource_lower_rlimit(&resource, "RLIMIT_NOFILE", RLIMIT_NOFILE);
        if (getuid() != 0)
                resource_lower_rlimit(&resource, "RLIMIT_NPROC", RLIMIT_NPROC);
        resource_lower_tasks(&resource);
        return resource;
}
