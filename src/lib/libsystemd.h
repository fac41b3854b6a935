/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * libsystemd, for as long as mpecho starts.
 *
 * Linked, it would stay with the master, and on Debian 12 bring six more libraries: fifty mappings
 * that each fork(2) of a handler copies and each exit takes down, which is a fifth of what a short
 * connection costs. So it is loaded (dlopen(3)) when the first of these functions is called, and
 * unloaded when the last one was.
 *
 * Each does what the function of sd-daemon(3) does that is named after it, and returns what that
 * returns; -ELIBACC when the library cannot be loaded.
 */
int libsystemd_listen_fds(int unset_environment);
int libsystemd_listen_fds_with_names(int unset_environment, char ***ret_names);
int libsystemd_is_socket(int fd, int family, int type, int listening);
int libsystemd_watchdog_enabled(int unset_environment, uint64_t *ret_usec);

/*
 * libsystemd_unload: gives the library's mappings back, if there are any.
 */
void libsystemd_unload(void);
