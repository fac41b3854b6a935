/* SPDX-License-Identifier: MIT */
/* cbmc: src/restart/bundle.c --unwind 2 --conversion-check */
/* bundle_new() leaves one descriptor open, or none when it fails; bundle_open() takes nothing out.
 */
#include "restart/bundle.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prove.h"

enum {
        FIRST_FD = 100,
};

static bool is_open[2];
static bool sent;

int socketpair(int domain, int type, int protocol, int pair[2]) {
        (void)protocol;
        prove(domain == AF_UNIX && (type & SOCK_CLOEXEC) != 0, "handlers do not inherit a bundle");
        if (nondet_bool()) {
                errno = EMFILE;
                return -1;
        }
        is_open[0] = is_open[1] = true;
        pair[0] = FIRST_FD;
        pair[1] = FIRST_FD + 1;
        return 0;
}

int fdpass_send(int socket, const Endpoint *to, const void *data, size_t size, const int *fds,
                size_t n, int flags) {
        (void)to;
        (void)flags;
        prove(socket == FIRST_FD + 1 && is_open[1], "the message goes through the other end");
        prove(n <= FDPASS_MOST && __CPROVER_r_ok(fds, n * sizeof *fds), "the message has room");
        prove(size >= 1 && __CPROVER_r_ok(data, size), "descriptors travel with a byte");
        sent = nondet_bool();
        return sent ? 0 : -EAGAIN;
}

int fdpass_receive(int socket, FdpassNote *ret_note, int ret_fds[static FDPASS_MOST], int flags) {
        const int n = nondet_int();

        (void)socket;
        prove((flags & MSG_PEEK) != 0, "bundle_open() leaves the message in the bundle");
        prove(__CPROVER_w_ok(ret_fds, FDPASS_MOST * sizeof *ret_fds), "there is room for all");
        prove(__CPROVER_w_ok(ret_note, sizeof *ret_note), "there is room for the note");
        assume(n <= FDPASS_MOST);
        return n;
}

int close(int fd) {
        prove(fd >= FIRST_FD && fd < FIRST_FD + 2 && is_open[fd - FIRST_FD],
              "close() has one to close");
        is_open[fd - FIRST_FD] = false;
        return 0;
}

void harness(void) {
        int fds[BUNDLE_MOST];
        const size_t n = nondet_size();
        int bundle, r;

        assume(n >= 1 && n <= BUNDLE_MOST);
        bundle = bundle_new(fds, n);
        prove(is_open[0] == (bundle >= 0) && !is_open[1],
              "bundle_new() leaves the bundle open alone");
        prove(bundle < 0 || sent, "a bundle has its message");
        r = bundle_open(FIRST_FD, fds);
        prove(r != 0 && r <= BUNDLE_MOST, "a bundle has at most BUNDLE_MOST, and not none");
}
