/* SPDX-License-Identifier: MIT */
/*
 * Reads numbers of the control group that this process runs in.
 *
 * The unified hierarchy has number 0. Its path is relative to the root that the process sees, so
 * this works in a container as well. Where the older hierarchies have the controllers, the files
 * are missing, and callers see no limit.
 */
#include "start/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/number.h"

int cgroup_open(const char *file) {
        char line[1024], path[sizeof line + 64] = "";
        FILE *groups;
        int fd;

        groups = fopen("/proc/self/cgroup", "re");
        if (groups == NULL)
                return -errno;
        while (fgets(line, sizeof line, groups) != NULL)
                if (strncmp(line, "0::", 3) == 0)
                        snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/%s",
                                 (int)strcspn(line + 3, "\n"), line + 3, file);
        fclose(groups);

        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

uint64_t cgroup_read(int fd) {
        char text[32] = "";
        uint64_t number;

        if (pread(fd, text, sizeof text - 1, 0) < 0)
                return UINT64_MAX;
        text[strcspn(text, "\n")] = '\0';
        return number_parse(text, 0, UINT64_MAX, &number) < 0 ? UINT64_MAX : number;
}

uint64_t cgroup_read_key(int fd, const char *key) {
        char text[4096] = "";
        const size_t length = strlen(key);

        if (pread(fd, text, sizeof text - 1, 0) < 0)
                return 0;
        for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, length) == 0 && line[length] == ' ')
                        return strtoull(line + length, NULL, 10);
        }
        return 0;
}
