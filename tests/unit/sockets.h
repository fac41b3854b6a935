/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "unit.h"

/* Returns the descriptor that is free next: a higher one where one was forgotten. */
static int next_descriptor(void) {
        const int fd = dup(STDIN_FILENO);

        close(fd);
        return fd;
}

/* Returns the value of a socket option. */
static int option(int fd, int level, int name) {
        socklen_t size = sizeof(int);
        int value;

        assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
        return value;
}

/* Connects to a Unix socket once; returns what connect(2) does. */
static int connect_local(const char *name) {
        Endpoint endpoint;
        const char *why;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        assert_int_equal(endpoint_parse_local(name, &endpoint, &why), 0);
        r = connect(fd, &endpoint.any, endpoint.length);
        close(fd);
        return r;
}
