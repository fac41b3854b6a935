/* SPDX-License-Identifier: MIT */
#include "restart/bundle.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

int pack_new(const int *fds, size_t n) {
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r = passing_send(pair[1], NULL, "", 1, fds, n, 0);
        close(pair[1]);
        if (r == 0)
                return pair[0];
        close(pair[0]);
        return r;
}

int pack_open(int pack, int ret_fds[static STORE_MOST]) {
        return passing_receive(pack, ret_fds, STORE_MOST, MSG_PEEK);
}
