/* SPDX-License-Identifier: MIT */
/*
 * Closes what untrusted processes sent, or have as well. The last close(2) of a full connection
 * that lingers (SO_LINGER, socket(7)) waits for its peer. The last close(2) of a Unix socket closes
 * all descriptors in the messages there: any number of them, and some may be sockets with messages.
 *
 * But the kernel does not make a process wait that exits. So a child inherits all descriptors, this
 * process closes its own, which are not the last ones, and then kills the child. The child must not
 * end before.
 *
 * Where a child costs too much, there can be none, or another process of this user kills it, a
 * signal ends the wait, and those that follow in the same close(2). The kernel closes the
 * connections in the background. A timer sends the signal again and again: a single one could come
 * before the wait begins.
 *
 * No signal ends the wait for a file system that is a process (FUSE), and a process that exits
 * waits for it as well. A process that must not wait has to keep away from such descriptors.
 */
#include "lib/discard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fdpass.h"
#include "lib/socket.h"

/* How long a close(2) may wait, in microseconds. A timer that is due after the kernel's own next
 * one costs a third to set: it is for each connection of a network. */
#define WAIT_OF_MANY 1000
#define WAIT_NETWORK 10000

static void discard_interrupt(int number) {
        (void)number;
}

/* Makes SIGALRM interrupt this process, and do nothing else, whatever the process inherited. */
static void discard_take_signal(void) {
        sigset_t set;

        (void)sigaction(SIGALRM, &(struct sigaction){ .sa_handler = discard_interrupt }, NULL);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGALRM);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void discard_set_timer(suseconds_t interval) {
        const struct timeval time = { .tv_usec = interval };

        (void)setitimer(ITIMER_REAL, &(struct itimerval){ time, time }, NULL);
}

/* Closes @fd, and waits for at most @most microseconds. */
static void discard_close_within(int fd, suseconds_t most) {
        discard_set_timer(most);
        close(fd);
        discard_set_timer(0);
}

/* Has the descriptors until it is killed, or the process *@parent ends. */
static int discard_hold(void *parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == *(pid_t *)parent)
                (void)pause();
        return 0;
}

/* Returns a child, or -1 when there can be none. It has a stack of its own: the caller may keep its
 * stack out of children (MADV_WIPEONFORK, madvise(2)). */
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
        discard_take_signal();
        child = discard_fork();
        /* Also beside a child: another process of this user can have killed it. */
        while (discard->n > 0)
                discard_close_within(discard->fds[--discard->n], WAIT_OF_MANY);
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

/* Looks for a message in @fd, and takes the descriptors that come with it. Returns false when no
 * message waits there. */
static bool discard_look(Discard *discard, int fd, int flags) {
        int fds[FDPASS_MOST] = {}, n;
        FdpassNote note = {};

        n = fdpass_receive(fd, &note, fds, flags | MSG_DONTWAIT);
        if (n == -EAGAIN || (n == 0 && note.size == 0 && !note.attested))
                return false;
        for (int i = 0; i < n; i++)
                discard_add(discard, fds[i]);
        return true;
}

void discard_add_channel(Discard *discard, int fd) {
        /* Nothing comes any more, and each message names its sender, even an empty one. */
        (void)shutdown(fd, SHUT_RD);
        (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
        /* Descriptors that have no room here stay in a message that is only peeked at. But whoever
         * else has this end can choose where peeking begins: behind all messages (SO_PEEK_OFF,
         * socket(7)). He can also take the message meanwhile. */
        if (discard_look(discard, fd, MSG_PEEK) || discard_look(discard, fd, 0))
                discard_add(discard, fd);
        else
                close(fd);
}

void discard_inherited(int fd) {
        static bool taken; /* for each connection of a network that would cost too much */

        if (!taken)
                discard_take_signal();
        taken = true;
        discard_close_within(fd, WAIT_NETWORK);
}

void discard_client(int fd) {
        if (socket_is_local(fd))
                discard_close(&(Discard){ .n = 1, .fds = { fd } });
        else
                socket_reset(fd);
}
