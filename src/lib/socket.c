/* SPDX-License-Identifier: MIT */
/*
 * Small helpers for sockets whose state other processes share: listeners that systemd holds as
 * well, connections that lie in its descriptor store. They ask the kernel by the descriptor alone
 * and never block.
 */
#include "lib/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Returns the value of a socket option that is a number, or @otherwise. */
static int socket_get(int fd, int option, int otherwise) {
        int value;
        socklen_t size = sizeof value;

        return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : otherwise;
}

uint64_t socket_cookie(int fd) {
        uint64_t cookie;
        socklen_t size = sizeof cookie;

        return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

bool socket_is_stream(int fd) {
        return socket_get(fd, SO_TYPE, -1) == SOCK_STREAM && socket_get(fd, SO_ACCEPTCONN, 1) == 0;
}

void socket_set_reset(int fd) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void socket_reset(int fd) {
        socket_set_reset(fd);
        close(fd);
}
