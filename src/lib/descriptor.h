/* SPDX-License-Identifier: MIT */
#pragma once

#include <unistd.h>

/* descriptor_close: Closes @fd, unless it is negative. Returns -1, for the variable of @fd. */
static inline int descriptor_close(int fd) {
        if (fd >= 0)
                close(fd);
        return -1;
}
