/* SPDX-License-Identifier: MIT */
/*
 * Finds the limit of the machine that bounds the number of connections: descriptors, processes, or
 * the pids.max of a control group. It raises soft limits to the hard ones. A limit that it cannot
 * read counts as none: the result serves a warning alone, and must not keep the service from
 * starting.
 */
#include "server/resources.h"

#include <inttypes.h>
#include <stdbool.h>
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

/* Looks at the control group at @path and all above it, up to the directory at @root bytes of it.
 */
static void resource_lower_pids(Resource *resource, char *path, size_t size, size_t root) {
        for (;;) {
                size_t length = strlen(path);
                uint64_t limit;
                FILE *file;

                snprintf(path + length, size - length, "/pids.max");
                file = fopen(path, "re");
                if (file != NULL) {
                        if (fscanf(file, "%" SCNu64, &limit) == 1)
                                resource_lower(resource, "pids.max", limit);
                        fclose(file);
                }
                if (length <= root)
                        return;
                path[length] = '\0';
                *strrchr(path, '/') = '\0';
        }
}

/* Each line is "hierarchy:controllers:path"; the unified hierarchy has the number 0 and no
 * controllers. */
static void resource_lower_cgroups(Resource *resource) {
        char line[1024], path[2048];
        FILE *file = fopen("/proc/self/cgroup", "re");

        if (file == NULL)
                return;
        while (fgets(line, sizeof line, file) != NULL) {
                char *controllers = strchr(line, ':');
                char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
                const char *root;

                if (group == NULL)
                        continue;
                *group++ = '\0';
                group[strcspn(group, "\n")] = '\0';
                if (strcmp(controllers + 1, "") == 0)
                        root = "/sys/fs/cgroup";
                else if (strcmp(controllers + 1, "pids") == 0)
                        root = "/sys/fs/cgroup/pids";
                else
                        continue;
                snprintf(path, sizeof path - sizeof "/pids.max", "%s%s", root,
                         strcmp(group, "/") == 0 ? "" : group);
                resource_lower_pids(resource, path, sizeof path, strlen(root));
        }
        fclose(file);
}

Resource resources_scarcest(void) {
        Resource resource = { .name = "", .limit = UINT64_MAX };

        resource_lower_rlimit(&resource, "RLIMIT_NOFILE", RLIMIT_NOFILE);
        if (getuid() != 0)
                resource_lower_rlimit(&resource, "RLIMIT_NPROC", RLIMIT_NPROC);
        resource_lower_cgroups(&resource);
        return resource;
}
