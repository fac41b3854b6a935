/* SPDX-License-Identifier: MIT */
/*
 * Sends one message to the service manager's socket, in the protocol of sd_notify(3). The master
 * and its handlers both send: handlers do not inherit libsystemd, so nothing here may call it.
 */
#include "report/notification.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fdpass.h"

int notification_open(Endpoint *ret_manager) {
        const char *name = getenv("NOTIFY_SOCKET"), *why;
        int fd;

        if (name == NULL || !endpoint_is_local(name) ||
            endpoint_parse_local(name, ret_manager, &why) < 0)
                return -ENOTCONN;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}

int notification_send(int socket, const Endpoint *manager, const char *message, const int *fds,
                      size_t n, int flags) {
        return fdpass_send(socket, manager, message, strlen(message), fds, n, flags);
}
