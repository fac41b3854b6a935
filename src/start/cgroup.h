/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * cgroup_open: Opens @file of the control group of this process, in the unified hierarchy
 * (cgroups(7)), where systemd sets the limits of a service.
 *
 * Returns a descriptor, or a negative errno.
 */
int cgroup_open(const char *file);

/* cgroup_read: Returns the number in @fd, a file of cgroup_open(), as it is now. Returns UINT64_MAX
 * for "max", and when there is no number to read. */
uint64_t cgroup_read(int fd);

/* cgroup_read_key: Returns the number that follows @key and a blank at the start of a line of @fd,
 * among the first 4 KiB; 0 when there is none. */
uint64_t cgroup_read_key(int fd, const char *key);
