/* SPDX-License-Identifier: MIT */
/*
 * Closes what untrusted processes sent. The last close(2) of a full connection that lingers
 * (SO_LINGER, socket(7)) waits for its peer, and that of a Unix socket closes all descriptors in
 * the messages there, which can carry each other however deep and many.
 *
 * But the kernel does not make a process wait that exits. So a child, which inherits all
 * descriptors, has them when this process closes its own, and is then killed. It must not end
 * before.
 */
#include "lib/discard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fdpass.h"
#include "lib/socket.h"

/* Has the descriptors until it is killed, or the process *@parent ends. */
static int discard_hold(void *parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == *(pid_t *)parent)
                (void)pause();
        return 0;
}

/* The child has a stack of its own, as that of the master may be empty in children. Returns -1 when
 * there can be none. */
static pid_t discard_fork(void) {
        static char stack[16 * 1024] __attribute__((aligned(16)));
        static pid_t parent;

        parent = getpid();
        return clone(discard_hold, stack + sizeof stack, SIGCHLD, &parent);
}

void discard_close(Discard *discard) {
        pid_t child;

        if (discard->n == 0)
                return;
        child = discard_fork();
        while (discard->n > 0)
                close(discard->fds[--discard->n]);
        if (child > 0)
                (void)kill(child, SIGKILL);
        while (child > 0 && discard->waits && waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
}

void discard_add(Discard *discard, int fd) {
        if (fd < 0)
                return;
        if (discard->n == DISCARD_MOST)
                discard_close(discard);
        discard->fds[discard->n++] = fd;
}

void discard_add_channel(Discard *discard, int fd) {
        int fds[FDPASS_MOST] = {}, n;
        FdpassNote note = {};

        /* Nothing comes any more, and each message names its sender, even an empty one. */
        (void)shutdown(fd, SHUT_RD);
        (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
        n = fdpass_receive(fd, &note, fds, MSG_PEEK | MSG_DONTWAIT);
        if (n == -EAGAIN || (n == 0 && note.size == 0 && note.sender < 0)) {
                close(fd);
                return;
        }
        /* Whoever else has this end can take the message meanwhile. */
        for (int i = 0; i < n; i++)
                discard_add(discard, fds[i]);
        discard_add(discard, fd);
}

void discard_client(int fd) {
        if (socket_is_local(fd))
                discard_close(&(Discard){ .n = 1, .fds = { fd } });
        else
                socket_reset(fd);
}
