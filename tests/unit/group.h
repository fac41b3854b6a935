/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

/*
 * In place of the machine's: the control group of this process, whose files a test writes. A test
 * program includes this once.
 */
static struct {
        const char *text; /* of /proc/self/cgroup; NULL where that is missing */
        char path[2048];  /* of the file that was opened last */
        struct {
                const char *name;
                int fd;
        } files[8];
} group = { .text = "0::/system.slice/mpecho.service\n" };

FILE *fopen(const char *path, const char *mode) {
        assert_string_equal(path, "/proc/self/cgroup");
        errno = ENOENT;
        return group.text == NULL ? NULL : fmemopen((void *)group.text, strlen(group.text), mode);
}

int open(const char *path, int flags, ...) {
        assert_int_equal(flags, O_RDONLY | O_CLOEXEC);
        snprintf(group.path, sizeof group.path, "%s", path);
        for (size_t i = 0; i < COUNT(group.files) && group.files[i].name != NULL; i++)
                if (strcmp(strrchr(path, '/') + 1, group.files[i].name) == 0)
                        return dup(group.files[i].fd);
        errno = ENOENT;
        return -1;
}

/* Writes the file @name, which is there from then on. Whoever has it open reads this next. */
static void group_write(const char *name, const char *text) {
        size_t i = 0;

        while (group.files[i].name != NULL && strcmp(group.files[i].name, name) != 0)
                i++;
        if (group.files[i].name == NULL) {
                group.files[i].name = name;
                group.files[i].fd = memfd_create(name, MFD_CLOEXEC);
        }
        assert_int_equal(ftruncate(group.files[i].fd, 0), 0);
        assert_int_equal(pwrite(group.files[i].fd, text, strlen(text), 0), strlen(text));
}

/* Removes all files. */
static void group_clear(void) {
        for (size_t i = 0; i < COUNT(group.files) && group.files[i].name != NULL; i++)
                close(group.files[i].fd);
        memset(group.files, 0, sizeof group.files);
}
