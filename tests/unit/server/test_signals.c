/* SPDX-License-Identifier: MIT */
/* Which signals the master obeys, in a child of the test. */

#include "server/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "process.h"
#include "unit.h"

#define NOW (1000 * CLOCK_SECOND)

FAULT(int, signalfd, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
FAULT(int, sigprocmask, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

static Signals signals = SIGNALS_NONE;
/* The last one is not a signal's. */
static struct pollfd polled[SIGNALS_FDS + 1];

/* The signals that were obeyed, and whether they have an effect. */
static uint32_t acted[16];
static size_t n_acted;
static bool effect = true;

static bool act(void *data, uint32_t number, uint64_t now) {
        assert_ptr_equal(data, &signals);
        assert_true(now == NOW);
        assert_true(n_acted < COUNT(acted));
        acted[n_acted++] = number;
        return effect;
}

static void begin(void) {
        polled[SIGNALS_FDS] = (struct pollfd){ .fd = -3, .revents = POLLIN };
        assert_int_equal(signals_init(&signals, act, &signals), 0);
}

static void end(void) {
        assert_int_equal(polled[SIGNALS_FDS].fd, -3);
        signals_deinit(&signals);
        for (int i = 0; i < SIGNALS_FDS; i++)
                assert_int_equal(fcntl(signals.fds[i], F_GETFD), -1);
        assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

/* Waits for nothing: all signals are there. Returns how many descriptors are ready. */
static int look(void) {
        signals_poll(&signals, polled);
        return poll(polled, SIGNALS_FDS, 0);
}

/* Takes the signals that are there, and expects that the @n @numbers are obeyed. */
static void take(const int *numbers, size_t n) {
        n_acted = 0;
        (void)look();
        assert_true(signals_take(&signals, polled, false, NOW));
        assert_int_equal(n_acted, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(acted[i], numbers[i]);
}

/* The same, when no other signal comes. */
static void expect(const int *numbers, size_t n) {
        take(numbers, n);
        assert_int_equal(look(), 0);
}

static void send_all(void *data) {
        static const int numbers[] = { SIGCHLD, SIGUSR1, SIGHUP, SIGTERM, SIGINT };
        static const int stops_first[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD };

        (void)data;
        begin();
        assert_int_equal(look(), 0);
        assert_false(signals_take(&signals, polled, false, NOW));
        for (size_t i = 0; i < COUNT(numbers); i++)
                assert_int_equal(kill(getpid(), numbers[i]), 0);
        assert_int_equal(look(), 2);
        expect(stops_first, COUNT(stops_first));
        end();
}

/* Each signal acts once, a stop before all others. */
static void test_order(void **state) {
        (void)state;
        process_run(send_all, NULL);
}

static void send_twice(void *data) {
        const int numbers[] = { SIGHUP, SIGUSR1, SIGCHLD, SIGHUP, SIGUSR1, SIGCHLD };

        (void)data;
        begin();
        for (size_t i = 0; i < COUNT(numbers) / 2; i++) {
                assert_int_equal(kill(getpid(), numbers[i]), 0);
                assert_int_equal(syscall(SYS_tgkill, getpid(), getpid(), numbers[i]), 0);
        }
        expect(numbers, COUNT(numbers));
        end();
}

/* A turn takes all signals that can wait: those of the process and those of its thread. */
static void test_room(void **state) {
        (void)state;
        process_run(send_twice, NULL);
}

static void take_due(void *data) {
        (void)data;
        begin();
        assert_int_equal(look(), 0);
        assert_true(signals_take(&signals, polled, true, NOW));
        assert_int_equal(n_acted, 0);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_true(signals_take(&signals, polled, true, NOW));
        assert_int_equal(n_acted, 1);
        assert_int_equal(acted[0], SIGTERM);
        end();
}

/* When a look is due, a signal counts that came after ppoll(2). */
static void test_due(void **state) {
        (void)state;
        process_run(take_due, NULL);
}

static void forge(void *data) {
        static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
        static const int obeyed[] = { SIGCHLD };

        (void)data;
        begin();
        for (size_t i = 0; i < COUNT(numbers); i++)
                assert_int_equal(sigqueue(getpid(), numbers[i], (union sigval){}), 0);
        expect(obeyed, COUNT(obeyed));
        assert_int_equal(signals.vain, 0);
        end();
}

/* Signals whose sender the kernel does not attest are not obeyed, except for SIGCHLD: the kernel's
 * is lost when one waits already. */
static void test_forged(void **state) {
        (void)state;
        process_run(forge, NULL);
}

static void signal_parent(void *data) {
        const int *number = data;

        assert_int_equal(kill(getppid(), *number), 0);
        for (;;)
                (void)pause();
}

static void disobey(void *data) {
        static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };

        (void)data;
        begin();
        effect = false;
        for (size_t i = 0; i < COUNT(numbers); i++) {
                const pid_t child = process_fork(signal_parent, (void *)&numbers[i]);
                int status;

                signals_poll(&signals, polled);
                assert_int_equal(poll(polled, SIGNALS_FDS, PATIENCE_SECONDS * 1000), 1);
                take(&numbers[i], numbers[i] == SIGCHLD);
                assert_int_equal(signals.vain, 0);
                status = process_wait(child);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGKILL);
                /* Its end is a signal as well. */
                assert_int_equal(look(), 1);
                expect(&(int){ SIGCHLD }, 1);
                assert_int_equal(signals.vain, 1);
                signals.vain = 0;
        }
        end();
}

/* A child that signals the master dies, and the master does not obey it; but it reaps after any
 * SIGCHLD. To kill one is an effect, even without a child to reap. */
static void test_child(void **state) {
        (void)state;
        process_run(disobey, NULL);
}

static void send_hangups(int n) {
        while (n-- > 0) {
                assert_int_equal(kill(getpid(), SIGHUP), 0);
                expect(&(int){ SIGHUP }, 1);
        }
}

static void annoy(void *data) {
        (void)data;
        begin();
        for (int round = 0; round < 3; round++) {
                effect = false;
                send_hangups(7);
                assert_true(signals_deadline(&signals) == CLOCK_NEVER);
                if (round == 2)
                        break;
                effect = true;
                send_hangups(1);
        }
        effect = false;
        send_hangups(1);
        assert_true(signals_deadline(&signals) == NOW + CLOCK_SECOND / 10);

        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_int_equal(look(), 0);
        signals_tick(&signals, NOW + CLOCK_SECOND / 10 - 1);
        assert_int_equal(look(), 0);
        signals_tick(&signals, NOW + CLOCK_SECOND / 10);
        assert_true(signals_deadline(&signals) == CLOCK_NEVER);
        effect = true;
        expect(&(int){ SIGTERM }, 1);
        end();
}

/* Eight signals in a row without an effect pause the wait for a tenth of a second, which loses
 * none. */
static void test_vain(void **state) {
        (void)state;
        process_run(annoy, NULL);
}

static void fail_to_begin(void *data) {
        CallFault *fault = data;

        for (int after = 0; after < SIGNALS_FDS; after++) {
                signals = SIGNALS_NONE;
                *fault = (CallFault){ .error = ENFILE, .after = after, .times = 1 };
                assert_int_equal(signals_init(&signals, act, &signals), -ENFILE);
                signals_deinit(&signals);
        }
}

/* An error of either descriptor is returned. */
static void test_errors(void **state) {
        (void)state;
        process_run(fail_to_begin, &signalfd_fault);
        process_run(fail_to_begin, &sigprocmask_fault);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),  cmocka_unit_test(test_room),
                cmocka_unit_test(test_due),    cmocka_unit_test(test_forged),
                cmocka_unit_test(test_child),  cmocka_unit_test(test_vain),
                cmocka_unit_test(test_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
