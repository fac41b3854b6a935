/* SPDX-License-Identifier: MIT */
/*
 * Ends a run early and in order, at the first SIGINT or SIGTERM.
 *
 * The handler makes an eventfd readable, so that loops that poll it end with their results. It also
 * restores the default actions, so that a second signal ends the program wherever it is. A signal
 * that the parent ignores stays ignored (nohup(1)).
 *
 * Signals must not be blocked, nor system calls restarted: a write(2) to a full pipe or a
 * connect(2) to a full queue has to fail with EINTR.
 *
 * A signal handler can reach the descriptor through a variable only: the one in this file.
 */
#include "client/network/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const int interrupt_signals[] = { SIGINT, SIGTERM };
static volatile int interrupt_event = -1;

static void interrupt_catch(int number) {
        const int saved = errno;

        (void)number;
        (void)!write(interrupt_event, &(uint64_t){ 1 }, sizeof(uint64_t));
        for (size_t i = 0; i < sizeof interrupt_signals / sizeof interrupt_signals[0]; i++)
                (void)sigaction(interrupt_signals[i], &(struct sigaction){ .sa_handler = SIG_DFL },
                                NULL);
        errno = saved;
}

int interrupt_open(void) {
        const struct sigaction action = { .sa_handler = interrupt_catch };
        struct sigaction before;
        int fd;

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        interrupt_event = fd;
        for (size_t i = 0; i < sizeof interrupt_signals / sizeof interrupt_signals[0]; i++)
                if (sigaction(interrupt_signals[i], NULL, &before) == 0 &&
                    before.sa_handler != SIG_IGN)
                        (void)sigaction(interrupt_signals[i], &action, NULL);
        return fd;
}

bool interrupt_is_due(int fd) {
        struct pollfd polled = { .fd = fd, .events = POLLIN };

        return poll(&polled, 1, 0) > 0;
}

void interrupt_clear(int fd) {
        (void)!read(fd, &(uint64_t){ 0 }, sizeof(uint64_t));
}
