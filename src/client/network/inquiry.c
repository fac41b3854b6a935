/* SPDX-License-Identifier: MIT */
/*
 * Answers SIGQUIT and SIGUSR1 during a run, which continues.
 *
 * The signal handler makes an eventfd readable. Every wait of the process that the user sees passes
 * through inquiry_poll(), which polls the eventfd beside the caller's descriptors, calls the answer
 * of the mode, and resumes the wait. So no loop of a mode contains inquiries, and none misses one:
 * neither while connecting nor while looking up a name nor during a round trip.
 *
 * An inquiry must never change the outcome of a run: other blocking system calls are restarted
 * (SA_RESTART, sigaction(2)). The signal handler itself must not print.
 *
 * A signal handler can reach the descriptor through a variable only, and the waits must not pass
 * the answer along: both are variables of this file.
 */
#include "client/network/inquiry.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"

enum {
        INQUIRY_POLLED = 1024,
};

static const int inquiry_signals[] = { SIGQUIT, SIGUSR1 };
static volatile int inquiry_event = -1;
static void (*inquiry_answer)(void *userdata);
static void *inquiry_userdata;

static void inquiry_catch(int number) {
        const int saved = errno;

        (void)number;
        (void)!write(inquiry_event, &(uint64_t){ 1 }, sizeof(uint64_t));
        errno = saved;
}

int inquiry_open(void) {
        const struct sigaction action = { .sa_handler = inquiry_catch, .sa_flags = SA_RESTART };
        struct sigaction before;
        int fd;

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;

        inquiry_event = fd;
        for (size_t i = 0; i < sizeof inquiry_signals / sizeof inquiry_signals[0]; i++)
                if (sigaction(inquiry_signals[i], NULL, &before) == 0 &&
                    before.sa_handler != SIG_IGN)
                        (void)sigaction(inquiry_signals[i], &action, NULL);
        return 0;
}

void inquiry_set(void (*answer)(void *userdata), void *userdata) {
        inquiry_answer = answer;
        inquiry_userdata = userdata;
}

void inquiry_ignore(void) {
        for (size_t i = 0; i < sizeof inquiry_signals / sizeof inquiry_signals[0]; i++)
                (void)signal(inquiry_signals[i], SIG_IGN);
}

static void inquiry_take(void) {
        (void)!read(inquiry_event, &(uint64_t){ 0 }, sizeof(uint64_t));
        if (inquiry_answer != NULL)
                inquiry_answer(inquiry_userdata);
}

int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end) {
        struct pollfd all[INQUIRY_POLLED];

        memcpy(all, polled, count * sizeof *polled);
        all[count] = (struct pollfd){ .fd = inquiry_event, .events = POLLIN };
        for (;;) {
                int r = poll(all, count + 1, clock_timeout(clock_now(), end));

                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r >= 0 && all[count].revents == 0) {
                        for (nfds_t i = 0; i < count; i++)
                                polled[i].revents = all[i].revents;
                        return r;
                }
                if (r > 0)
                        inquiry_take();
        }
}
