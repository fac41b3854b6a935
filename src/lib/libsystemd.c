/* SPDX-License-Identifier: MIT */
#include "lib/libsystemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <systemd/sd-daemon.h>

/* The version that the headers are of. */
#define LIBRARY "libsystemd.so.0"

static void *library;

/* Sets the pointer to a function @ret_function, to NULL when there is none called @name. */
static void libsystemd_find(const char *name, void *ret_function) {
        if (library == NULL)
                library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
        *(void **)ret_function = library != NULL ? dlsym(library, name) : NULL;
}

int libsystemd_listen_fds(int unset_environment) {
        typeof(sd_listen_fds) *function;

        libsystemd_find("sd_listen_fds", &function);
        return function != NULL ? function(unset_environment) : -ELIBACC;
}

int libsystemd_listen_fds_with_names(int unset_environment, char ***ret_names) {
        typeof(sd_listen_fds_with_names) *function;

        libsystemd_find("sd_listen_fds_with_names", &function);
        return function != NULL ? function(unset_environment, ret_names) : -ELIBACC;
}

int libsystemd_is_socket(int fd, int family, int type, int listening) {
        typeof(sd_is_socket) *function;

        libsystemd_find("sd_is_socket", &function);
        return function != NULL ? function(fd, family, type, listening) : -ELIBACC;
}

int libsystemd_watchdog_enabled(int unset_environment, uint64_t *ret_usec) {
        typeof(sd_watchdog_enabled) *function;

        libsystemd_find("sd_watchdog_enabled", &function);
        return function != NULL ? function(unset_environment, ret_usec) : -ELIBACC;
}

void libsystemd_unload(void) {
        if (library != NULL)
                (void)dlclose(library);
        library = NULL;
}
