/* SPDX-License-Identifier: MIT */
/* The signals that end a run, in a child for each test: they belong to the process. */

#include "client/network/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "process.h"
#include "unit.h"

FAULT(int, eventfd, eventfd, (unsigned count, int flags), (count, flags))

static uint64_t clock_instant = CLOCK_SECOND;

/* In place of the module's: the tests make time pass. */
uint64_t clock_now(void) {
        return clock_instant;
}

/* Catches a first SIGTERM of this process. */
static void interrupt_self(void) {
        int fd;

        /* A shell's job in the background ignores it, and it would stay ignored. */
        (void)signal(SIGINT, SIG_DFL);
        fd = interrupt_open();
        assert_true(fd >= 0);
        assert_false(interrupt_is_due(fd));
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_true(interrupt_is_due(fd));
        interrupt_clear(fd);
        assert_false(interrupt_is_due(fd));
}

/* The same signal of the same process is part of the first one, for less than a second. */
static void repeat(void *unused) {
        (void)unused;
        interrupt_self();
        for (int i = 0; i < 3; i++) {
                assert_int_equal(kill(getpid(), SIGTERM), 0);
                clock_instant += CLOCK_SECOND / 3;
        }
}

static void repeat_late(void *unused) {
        (void)unused;
        interrupt_self();
        clock_instant += CLOCK_SECOND;
        (void)kill(getpid(), SIGTERM);
}

static void repeat_otherwise(void *unused) {
        (void)unused;
        interrupt_self();
        (void)kill(getpid(), SIGINT);
}

/* A process that cannot notice a signal has its default action. */
static void lack(void *unused) {
        (void)unused;
        eventfd_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(interrupt_open(), -EMFILE);
        (void)kill(getpid(), SIGTERM);
}

static void kill_parent(void *unused) {
        (void)unused;
        (void)kill(getppid(), SIGTERM);
}

static void repeat_by_another(void *unused) {
        (void)unused;
        interrupt_self();
        process_run(kill_parent, NULL);
}

/* A key of the terminal is a signal of the kernel, and so is that of a timer. */
static void repeat_by_kernel(void *unused) {
        const struct itimerspec soon = { .it_value.tv_nsec = 1 };
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM };
        timer_t timer;
        int fd = interrupt_open();

        (void)unused;
        assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        for (int i = 0; i < 2; i++) {
                struct pollfd polled = { .fd = fd, .events = POLLIN };

                assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
                while (poll(&polled, 1, PATIENCE_SECONDS * 1000) < 0)
                        ;
                interrupt_clear(fd);
        }
}

static void ignore(void *unused) {
        int fd;

        (void)unused;
        (void)signal(SIGINT, SIG_IGN);
        fd = interrupt_open();
        assert_int_equal(kill(getpid(), SIGINT), 0);
        assert_int_equal(kill(getpid(), SIGINT), 0);
        assert_false(interrupt_is_due(fd));
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_true(interrupt_is_due(fd));
        assert_false(interrupt_is_due(-1));
}

static void assert_killed(void (*function)(void *unused), int number) {
        int status = process_wait(process_fork(function, NULL));

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), number);
}

static void test_one_wish(void **state) {
        (void)state;
        process_run(repeat, NULL);
        process_run(ignore, NULL);
}

static void test_a_second_signal_kills(void **state) {
        (void)state;
        assert_killed(repeat_late, SIGTERM);
        assert_killed(repeat_otherwise, SIGINT);
        assert_killed(repeat_by_another, SIGTERM);
        assert_killed(repeat_by_kernel, SIGTERM);
        assert_killed(lack, SIGTERM);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_wish),
                cmocka_unit_test(test_a_second_signal_kills),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
