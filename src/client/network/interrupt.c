/* SPDX-License-Identifier: MIT */
/*
 * Ends a run early and in order, at the first SIGINT or SIGTERM.
 *
 * The handler makes an eventfd readable, so that loops that poll it end with their results. A
 * second signal ends the program wherever it is. A signal that the parent ignores stays ignored
 * (nohup(1)).
 *
 * timeout(1) signals its child and then its own process group, so the child gets each signal twice.
 * The same signal from the same process within a second is therefore no second one. Keys of a
 * terminal are signals of the kernel, and each press counts.
 *
 * Signals must not be blocked, nor system calls restarted: a write(2) to a full pipe or a
 * connect(2) to a full queue has to fail with EINTR.
 *
 * A signal handler can reach its data through variables only: those in this file.
 */
#include "client/network/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"

/* The time in which a process may repeat its signal. */
#define INTERRUPT_REPETITION CLOCK_SECOND

static const int interrupt_signals[] = { SIGINT, SIGTERM };
static volatile int interrupt_event = -1;
/* The first signal and its instant; 0 before it. */
static siginfo_t interrupt_first;
static volatile uint64_t interrupt_began;

/* Returns whether a signal that comes at @now is the first one again. */
static bool interrupt_is_repeated(const siginfo_t *info, uint64_t now) {
        return info->si_code == SI_USER && interrupt_first.si_code == SI_USER &&
               info->si_pid == interrupt_first.si_pid &&
               info->si_signo == interrupt_first.si_signo &&
               now - interrupt_began < INTERRUPT_REPETITION;
}

/* The mask of the handler excludes itself: it runs for one signal at a time. */
static void interrupt_catch(int number, siginfo_t *info, void *context) {
        const uint64_t now = clock_now();
        const int saved = errno;

        (void)context;
        if (interrupt_began == 0) {
                interrupt_first = *info;
                interrupt_began = now;
                (void)!write(interrupt_event, &(uint64_t){ 1 }, sizeof(uint64_t));
        } else if (!interrupt_is_repeated(info, now)) {
                (void)signal(number, SIG_DFL);
                (void)raise(number);
        }
        errno = saved;
}

int interrupt_open(void) {
        struct sigaction action = { .sa_sigaction = interrupt_catch, .sa_flags = SA_SIGINFO };
        struct sigaction before;
        int fd;

        for (size_t i = 0; i < sizeof interrupt_signals / sizeof interrupt_signals[0]; i++)
                sigaddset(&action.sa_mask, interrupt_signals[i]);
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

uint64_t interrupt_instant(void) {
        return interrupt_began == 0 ? CLOCK_NEVER : interrupt_began;
}

void interrupt_clear(int fd) {
        (void)!read(fd, &(uint64_t){ 0 }, sizeof(uint64_t));
}
