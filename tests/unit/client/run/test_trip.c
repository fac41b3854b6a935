/* SPDX-License-Identifier: MIT */
/* One message and its answer, with peers that do with it what they like. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/network/interrupt.h"
#include "client/run/trip.h"
#include "fault.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

FAULT(ssize_t, send, send, (int fd, const void *data, size_t size, int flags),
      (fd, data, size, flags))
FAULT(ssize_t, recv, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
FAULT(int, shutdown, shutdown, (int fd, int how), (fd, how))

static time_t moved; /* in seconds */

/* In place of the C library's: the tests move the clock on. */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        const int r = (int)syscall(GETTIME, clock, ret_time);

        ret_time->tv_sec += moved;
        return r;
}

enum {
        LARGE = 8 << 20,
        SMALL = 64,
};

/* A process that gives back what it receives, with @mask applied to the byte at @place. */
static pid_t start_echo(int pair[2], size_t place, char mask) {
        static char buffer[65536];
        size_t passed = 0;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid != 0) {
                close(pair[1]);
                return pid;
        }
        close(pair[0]);
        for (;;) {
                ssize_t n = read(pair[1], buffer, sizeof buffer);

                if (n <= 0)
                        _exit(0);
                if (place >= passed && place < passed + (size_t)n)
                        buffer[place - passed] = (char)(buffer[place - passed] ^ mask);
                passed += (size_t)n;
                for (ssize_t done = 0, m; done < n; done += m) {
                        m = write(pair[1], buffer + done, (size_t)(n - done));
                        if (m < 0)
                                _exit(0);
                }
        }
}

static int run_echo(size_t size, size_t place, char mask) {
        char *message = malloc(size), *answer = malloc(size);
        int pair[2], r;
        pid_t pid = start_echo(pair, place, mask);

        assert_non_null(message);
        assert_non_null(answer);
        memset(message, 'm', size);
        r = trip_run(&(Trip){ .fd = pair[0], .message = message, .answer = answer, .size = size },
                     CLOCK_NEVER, -1);
        close(pair[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        free(message);
        free(answer);
        return r;
}

/* What comes back is compared to its last byte, and no size is too large for what is in between. */
static void test_answers(void **state) {
        (void)state;
        assert_int_equal(run_echo(1, 0, 0), 0);
        assert_int_equal(run_echo(LARGE, 0, 0), 0);
        assert_int_equal(run_echo(1, 0, 1), -EBADMSG);
        assert_int_equal(run_echo(LARGE, LARGE - 1, 0x40), -EBADMSG);
        assert_int_equal(run_echo(LARGE, LARGE, 0x40), 0);
}

static int run_silent(uint64_t end, int interrupt, int direction) {
        char message[SMALL] = "", answer[SMALL];
        int pair[2], r;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        if (direction >= 0)
                assert_int_equal(shutdown(pair[1], direction), 0);
        r = trip_run(&(Trip){ .fd = pair[0],
                              .message = message,
                              .answer = answer,
                              .size = sizeof message },
                     end, interrupt);
        close(pair[0]);
        close(pair[1]);
        return r;
}

/* A peer that says nothing is waited for until the time is over, and not longer. */
static void test_timeout(void **state) {
        uint64_t start = clock_now(), end = start + 50 * CLOCK_MILLISECOND;

        (void)state;
        assert_int_equal(run_silent(end, -1, -1), -ETIME);
        assert_true(clock_now() >= end);
        assert_int_equal(run_silent(start, -1, -1), -ETIME);
}

/* A peer that leaves is not waited for, whichever way it leaves. */
static void test_closed(void **state) {
        (void)state;
        assert_int_equal(run_silent(CLOCK_NEVER, -1, SHUT_WR), -EPIPE);
        assert_int_equal(run_silent(CLOCK_NEVER, -1, SHUT_RDWR), -EPIPE);
}

/* The interrupt ends the wait. */
static void test_interrupt(void **state) {
        int interrupt = eventfd(1, EFD_CLOEXEC);

        (void)state;
        assert_true(interrupt >= 0);
        assert_int_equal(run_silent(CLOCK_NEVER, interrupt, -1), -EINTR);
        close(interrupt);
}

/* Makes a trip that an interrupt ends when @size bytes of @answer and the peer's end have come. */
static int run_interrupted(const char *answer, size_t size) {
        const int interrupt = eventfd(1, EFD_CLOEXEC);
        char message[SMALL] = "", buffer[SMALL];
        int pair[2], r;

        assert_true(interrupt >= 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(write(pair[1], answer, size), size);
        assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
        /* The look before the message sees nothing yet. */
        recv_fault = (CallFault){ .error = EAGAIN, .times = 1 };
        r = trip_run(&(Trip){ .fd = pair[0],
                              .message = message,
                              .answer = buffer,
                              .size = sizeof message },
                     CLOCK_NEVER, interrupt);
        close(pair[0]);
        close(pair[1]);
        close(interrupt);
        return r;
}

/* An answer that is there when the interrupt comes counts if all of it is there; a wrong byte of it
 * counts in any case. */
static void test_answer_before_interrupt(void **state) {
        static const char right[SMALL] = "", wrong[SMALL] = "x";

        (void)state;
        assert_int_equal(run_interrupted(right, SMALL), 0);
        assert_int_equal(run_interrupted(right, SMALL - 1), -EINTR);
        assert_int_equal(run_interrupted(wrong, SMALL - 1), -EBADMSG);
}

/* Makes a trip after SIGTERM, when a whole answer has come that was not there @later seconds
 * ago. Returns the result. */
static int run_terminated(time_t later) {
        char message[SMALL] = "", answer[SMALL];
        Trip trip = { .message = message, .answer = answer, .size = sizeof message };
        const int interrupt = interrupt_open();
        int pair[2], r;

        peer_pair_tcp(pair);
        trip.fd = pair[1];
        peer_send(pair[0], message, sizeof message);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        moved = later;
        recv_fault = (CallFault){ .error = EAGAIN, .times = 1 };
        r = trip_run(&trip, CLOCK_NEVER, interrupt);
        close(pair[0]);
        close(pair[1]);
        return r;
}

static void terminate(void *unused) {
        (void)unused;
        assert_int_equal(run_terminated(0), 0);
}

static void terminate_earlier(void *unused) {
        (void)unused;
        assert_int_equal(run_terminated(1000), -EINTR);
}

/* An answer that comes after a signal is none of the run: nobody has waited for it. */
static void test_answer_after_signal(void **state) {
        (void)state;
        process_run(terminate, NULL);
        process_run(terminate_earlier, NULL);
}

/* What comes before anything was sent is no answer, even if it is the message. */
static void test_unasked(void **state) {
        char message[SMALL] = "", answer[SMALL];
        Trip trip = { .message = message, .answer = answer, .size = sizeof message };
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(write(pair[1], message, sizeof message), sizeof message);
        trip.fd = pair[0];
        assert_int_equal(trip_run(&trip, CLOCK_NEVER, -1), -EBADMSG);
        assert_int_equal(trip.received, sizeof message);
        assert_int_equal(trip.sent, 0);
        close(pair[0]);
        close(pair[1]);
}

/* Signals and full buffers cost an answer nothing; another error ends the wait for it. */
static void test_errors(void **state) {
        static CallFault *const faults[] = { &send_fault, &recv_fault };

        (void)state;
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
                *faults[i] = (CallFault){ .error = EINTR, .times = 1 };
                assert_int_equal(run_echo(SMALL, 0, 0), 0);
                *faults[i] = (CallFault){ .error = EAGAIN, .times = 1 };
                assert_int_equal(run_echo(SMALL, 0, 0), 0);
                *faults[i] = (CallFault){ .error = ENETDOWN, .times = 1 };
                assert_int_equal(run_echo(SMALL, 0, 0), -ENETDOWN);
        }
        /* The first recv(2) only looks for what nobody asked for. */
        recv_fault = (CallFault){ .error = EINTR, .after = 1, .times = 1 };
        assert_int_equal(run_echo(SMALL, 0, 0), 0);
        recv_fault = (CallFault){ .error = ENETDOWN, .after = 1, .times = 1 };
        assert_int_equal(run_echo(SMALL, 0, 0), -ENETDOWN);
}

/* A connection that is gone ended in order, unless bytes came before its reset; one that cannot be
 * ended did not. */
static void test_end_errors(void **state) {
        int pair[2];

        (void)state;
        shutdown_fault = (CallFault){ .error = ENOTCONN, .times = 1 };
        assert_int_equal(trip_end(-1, CLOCK_NEVER, -1), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(write(pair[1], "x", 1), 1);
        shutdown_fault = (CallFault){ .error = ENOTCONN, .times = 1 };
        assert_int_equal(trip_end(pair[0], CLOCK_NEVER, -1), -EBADMSG);
        close(pair[0]);
        close(pair[1]);
        shutdown_fault = (CallFault){ .error = ENOBUFS, .times = 1 };
        assert_int_equal(trip_end(-1, CLOCK_NEVER, -1), -ENOBUFS);
}

/* A connection ends in order only when nothing comes before its end, which is waited for. */
static void test_end(void **state) {
        static const struct {
                const char *last;
                int direction;
                int result;
        } ends[] = { { "", SHUT_WR, 0 },
                     { "x", SHUT_WR, -EBADMSG },
                     { "", SHUT_RD, -ETIME },
                     { "x", SHUT_RD, -EBADMSG } };

        (void)state;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
                uint64_t end = clock_now() + 50 * CLOCK_MILLISECOND;
                int pair[2];
                char byte;

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
                assert_int_equal(write(pair[1], ends[i].last, strlen(ends[i].last)),
                                 strlen(ends[i].last));
                assert_int_equal(shutdown(pair[1], ends[i].direction), 0);
                assert_int_equal(trip_end(pair[0], end, -1), ends[i].result);
                assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
                close(pair[0]);
                close(pair[1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_timeout),
                cmocka_unit_test(test_closed),
                cmocka_unit_test(test_interrupt),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_end_errors),
                cmocka_unit_test(test_unasked),
                cmocka_unit_test(test_end),
                cmocka_unit_test(test_answer_before_interrupt),
                cmocka_unit_test(test_answer_after_signal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
