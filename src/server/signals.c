/* SPDX-License-Identifier: MIT */
/*
 * The master blocks its signals and reads them from descriptors, so none interrupts it.
 *
 * All handlers have the master's user ID, so outside of a sandbox a compromised one can signal it.
 * The master obeys only signals whose sender the kernel attests and that no child has sent. It
 * kills a child that sends one.
 *
 * Signals without an effect cost the master little: after several in a row it does not wait for
 * signals for a while. Nor do they hide a stop, which has a descriptor of its own: the kernel
 * returns the smaller numbers first, also those that come while the master reads.
 *
 * This module must not obey a forged signal, and must lose no SIGCHLD.
 */
#include "server/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/descriptor.h"
#include "server/reaper.h"

/* How long the master takes no signals after VAIN_MOST in a row without an effect: no handler can
 * keep it busy with these. */
#define PAUSE (CLOCK_SECOND / 10)

enum {
        /* A SIGCHLD often finds no handler, as an earlier one has reaped several. */
        VAIN_MOST = 8,
};

/* Blocks the signals, up to a 0, and returns a descriptor for them, or a negative errno. */
static int signals_open(const int *numbers) {
        sigset_t set;
        int fd;

        (void)sigemptyset(&set);
        for (; *numbers != 0; numbers++)
                (void)sigaddset(&set, *numbers);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

int signals_init(Signals *signals, bool (*act)(void *data, uint32_t number, uint64_t now),
                 void *data) {
        static const int numbers[SIGNALS_FDS][4] = {
                [SIGNALS_STOPS] = { SIGTERM, SIGINT },
                [SIGNALS_OTHERS] = { SIGHUP, SIGUSR1, SIGCHLD },
        };

        signals->act = act;
        signals->data = data;
        for (int i = 0; i < SIGNALS_FDS; i++) {
                signals->fds[i] = signals_open(numbers[i]);
                if (signals->fds[i] < 0)
                        return signals->fds[i];
        }
        return 0;
}

void signals_deinit(Signals *signals) {
        for (int i = 0; i < SIGNALS_FDS; i++)
                descriptor_close(signals->fds[i]);
}

void signals_poll(const Signals *signals, struct pollfd *polled) {
        for (int i = 0; i < SIGNALS_FDS; i++) {
                polled[i].fd = signals->paused_until == CLOCK_NEVER ? signals->fds[i] : -1;
                polled[i].events = POLLIN;
        }
}

/* Returns whether @signal has had an effect. */
static bool signals_obey(Signals *signals, const struct signalfd_siginfo *signal, uint64_t now) {
        /* The kernel fills in the sender of the first two; the third is its own, for a key of the
         * terminal. With sigqueue(3) or F_SETSIG of fcntl(2) the sender remains unknown. */
        const bool attested = signal->ssi_code == SI_USER || signal->ssi_code == SI_TKILL ||
                              signal->ssi_code == SI_KERNEL;
        const bool disobeys = attested && reaper_kill_child((pid_t)signal->ssi_pid);
        /* A signal of a child can have merged with the kernel's. */
        const bool obeys = signal->ssi_signo == SIGCHLD || (attested && !disobeys);

        return (obeys && signals->act(signals->data, signal->ssi_signo, now)) || disobeys;
}

static void signals_read(Signals *signals, int fd, uint64_t now) {
        /* Room for all of @fd, sent to the process and to its thread. */
        struct signalfd_siginfo batch[6];
        ssize_t n = read(fd, batch, sizeof batch);

        for (ssize_t i = 0; i < n / (ssize_t)sizeof *batch; i++)
                signals->vain = signals_obey(signals, &batch[i], now) ? 0 : signals->vain + 1;
        if (n > 0 && signals->vain >= VAIN_MOST)
                signals->paused_until = now + PAUSE;
}

bool signals_take(Signals *signals, const struct pollfd *polled, bool due, uint64_t now) {
        bool looked = false;

        for (int i = 0; i < SIGNALS_FDS; i++)
                if (due || polled[i].revents != 0) {
                        signals_read(signals, signals->fds[i], now);
                        looked = true;
                }
        return looked;
}

void signals_tick(Signals *signals, uint64_t now) {
        if (signals->paused_until <= now)
                signals->paused_until = CLOCK_NEVER;
}

uint64_t signals_deadline(const Signals *signals) {
        return signals->paused_until;
}
