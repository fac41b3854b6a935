/* SPDX-License-Identifier: MIT */
/*
 * Packs many descriptors into one for systemd's descriptor store: a message that carries them waits
 * in the receiving end of a socket pair, whose sending end is closed, for as long as some process
 * or the store has that end open.
 *
 * Readers only peek at the message (MSG_PEEK): each gets duplicates of its own, and can read a
 * bundle any number of times. A reader must not take the message out, since another master may need
 * it after a crash.
 */
#include "restart/bundle.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int bundle_new(const int *fds, size_t n) {
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r = fdpass_send(pair[1], NULL, "", 1, fds, n, 0);
        close(pair[1]);
        if (r == 0)
                return pair[0];
        close(pair[0]);
        return r;
}

int bundle_open(int bundle, int ret_fds[static BUNDLE_MOST]) {
        FdpassNote note = {};
        const int n = fdpass_receive(bundle, &note, ret_fds, MSG_PEEK | MSG_DONTWAIT);

        return n == 0 ? -EBADMSG : n;
}
