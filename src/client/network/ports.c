/* SPDX-License-Identifier: MIT */
/*
 * Chooses the local ports of flows: a block of neighbours, so that its first port alone repeats the
 * same flows in another run.
 *
 * A port is free when a socket can bind to it. Without a wish of the user, random blocks are tried
 * above the ports that Linux chooses by itself, among which blocks of free ports are rare.
 *
 * Nothing here may keep a port bound: the connections bind them later.
 */
#include "client/network/ports.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        PORTS_FIRST = 61000,
        PORTS_ATTEMPTS = 100,
};

/* Returns 0 if the port can be bound, or a negative errno. */
static int ports_try_one(int family, const ConnectionOptions *options, in_port_t port) {
        ConnectionOptions bound = *options;
        int fd, r;

        fd = socket(family, (options->datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        bound.port = port;
        r = connection_bind(fd, family, &bound);
        close(fd);
        return r;
}

/* Tries all ports from @first on; sets @ret_wrong to the first one that cannot be bound. */
static int ports_try(int family, const ConnectionOptions *options, uint64_t first, uint64_t count,
                     uint64_t *ret_wrong) {
        int r = 0;

        for (uint64_t port = first; port < first + count && r == 0; port++) {
                r = ports_try_one(family, options, (in_port_t)port);
                *ret_wrong = port;
        }
        return r;
}

int ports_choose(int family, const ConnectionOptions *options, uint64_t first, uint64_t count,
                 uint64_t *ret_first, Failure *ret_failure) {
        uint64_t chosen = first, wrong = 0;
        uint32_t number;
        int r = -EADDRINUSE;

        if (first != 0)
                r = ports_try(family, options, first, count, &wrong);
        for (int i = 0; first == 0 && r == -EADDRINUSE && i < PORTS_ATTEMPTS; i++) {
                if (getrandom(&number, sizeof number, 0) < 0)
                        return failure_set(ret_failure, -errno, "Cannot get random numbers: %s",
                                           strerror(errno));
                chosen = PORTS_FIRST + number % (UINT16_MAX - PORTS_FIRST - count);
                r = ports_try(family, options, chosen, count, &wrong);
        }
        if (r < 0)
                return failure_set(ret_failure, r, "Cannot use source port %" PRIu64 ": %s", wrong,
                                   strerror(-r));

        *ret_first = chosen;
        return 0;
}
