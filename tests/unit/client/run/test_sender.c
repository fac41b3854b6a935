/* SPDX-License-Identifier: MIT */
/* The sending process and the receiving half, on a pair of sockets. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/run/receiver.h"
#include "client/run/sender.h"
#include "fault.h"
#include "lib/clock.h"
#include "unit.h"

FAULT(void *, mmap, mmap64,
      (void *address, size_t size, int protection, int flags, int fd, off_t offset),
      (address, size, protection, flags, fd, offset))
FAULT(int, pipe2, pipe2, (int ends[2], int flags), (ends, flags))
FAULT(pid_t, fork, fork, (void), ())
FAULT(pid_t, waitpid, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
FAULT(ssize_t, send, send, (int fd, const void *data, size_t size, int flags),
      (fd, data, size, flags))

enum {
        NEAR,
        FAR,
};

typedef struct Fixture {
        int pair[2];
        Sender sender;
} Fixture;

/* The time that the sink has taken. */
static uint64_t lost;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *time) {
        const int r = (int)syscall(GETTIME, clock, time);

        time->tv_sec += (time_t)(lost / CLOCK_SECOND);
        return r;
}

/* Gives *userdata zeros. */
static ssize_t fill_count(void *userdata, void *buffer, size_t size) {
        size_t *left = userdata, n = *left < size ? *left : size;

        memset(buffer, 0, n);
        *left -= n;
        return (ssize_t)n;
}

static ssize_t fill_never(void *userdata, void *buffer, size_t size) {
        (void)userdata, (void)buffer, (void)size;
        pause();
        return 0;
}

static ssize_t fill_error(void *userdata, void *buffer, size_t size) {
        (void)userdata, (void)buffer, (void)size;
        return -EIO;
}

static int take_none(void *userdata, const void *data, size_t size) {
        (void)userdata, (void)data, (void)size;
        return -ENOSPC;
}

static int take_all(void *userdata, const void *data, size_t size) {
        (void)data;
        *(size_t *)userdata += size;
        return 0;
}

/* Takes a second for each piece. Meanwhile the peer, *userdata, sends the next one. */
static int take_slowly(void *userdata, const void *data, size_t size) {
        lost += CLOCK_SECOND;
        return write(*(int *)userdata, data, size) == (ssize_t)size ? 0 : -errno;
}

static void start(Fixture *fixture, const Source *source) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fixture->pair), 0);
        assert_int_equal(sender_start(&fixture->sender, fixture->pair[NEAR], source), 0);
}

static void wait_for_end(const Fixture *fixture) {
        struct pollfd ended = { .fd = fixture->sender.ended, .events = POLLIN };

        assert_int_equal(poll(&ended, 1, 60000), 1);
}

/* No child is left, and no zombie. */
static void end(Fixture *fixture) {
        sender_deinit(&fixture->sender);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        close(fixture->pair[NEAR]);
        close(fixture->pair[FAR]);
}

/* At the end of its source the sender half-closes and ends; the bytes are counted. */
static void test_finish(void **state) {
        size_t left = 100000, received = 0;
        char buffer[4096];
        Fixture fixture;
        ssize_t n;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_count, .userdata = &left });
        while ((n = read(fixture.pair[FAR], buffer, sizeof buffer)) > 0)
                received += (size_t)n;
        assert_int_equal(n, 0);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_FINISHED);
        assert_int_equal(received, 100000);
        assert_int_equal(sender_bytes(&fixture.sender), 100000);
        end(&fixture);
}

/* Signals end neither the sending nor the wait for the sender. */
static void test_interrupted(void **state) {
        size_t left = 10;
        char buffer[16];
        Fixture fixture;

        (void)state;
        send_fault = (CallFault){ .error = EINTR, .times = 1 };
        start(&fixture, &(Source){ .fill = fill_count, .userdata = &left });
        send_fault = (CallFault){};
        wait_for_end(&fixture);
        assert_int_equal(read(fixture.pair[FAR], buffer, sizeof buffer), 10);
        waitpid_fault = (CallFault){ .error = EINTR, .times = 1 };
        sender_stop(&fixture.sender);
        assert_int_equal(waitpid_fault.times, 0);
        assert_int_equal(fixture.sender.end, SENDER_FINISHED);
        end(&fixture);
}

/* Without memory, a pipe or a process there is no sender, and no descriptor stays open. */
static void test_not_started(void **state) {
        static CallFault *const faults[] = { &mmap_fault, &pipe2_fault, &fork_fault };
        const int lowest = dup(STDIN_FILENO);
        Sender sender;
        int next;

        (void)state;
        close(lowest);
        for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
                *faults[i] = (CallFault){ .error = ENOMEM, .times = 1 };
                assert_int_equal(sender_start(&sender, -1, &(Source){ .fill = fill_error }),
                                 -ENOMEM);
                next = dup(STDIN_FILENO);
                close(next);
                assert_int_equal(next, lowest);
        }
}

/* A sender that waits for its source is ended. */
static void test_stop_while_taking(void **state) {
        Fixture fixture;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_STOPPED);
        end(&fixture);
}

/* A sender that waits for its peer ends by itself, though the peer reads nothing and stays: killed,
 * it could not report an error of the connection. */
static void test_stop_while_sending(void **state) {
        size_t left = SIZE_MAX;
        Fixture fixture;
        char byte;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_count, .userdata = &left });
        /* The queue of a socket takes less than the sender has read. */
        assert_int_equal(recv(fixture.pair[FAR], &byte, 1, MSG_PEEK), 1);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_CONNECTION_FAILED);
        assert_int_equal(fixture.sender.error, EPIPE);
        end(&fixture);
}

/* The source's error is passed on, and the peer sees an orderly end. */
static void test_source_failed(void **state) {
        Fixture fixture;
        char byte;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_error });
        assert_int_equal(read(fixture.pair[FAR], &byte, 1), 0);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_SOURCE_FAILED);
        assert_int_equal(fixture.sender.error, EIO);
        end(&fixture);
}

/* A peer that goes away is an error of the connection, not a signal. */
static void test_connection_failed(void **state) {
        size_t left = SIZE_MAX;
        Fixture fixture;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_count, .userdata = &left });
        assert_int_equal(shutdown(fixture.pair[FAR], SHUT_RD), 0);
        wait_for_end(&fixture);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_CONNECTION_FAILED);
        assert_int_equal(fixture.sender.error, EPIPE);
        end(&fixture);
}

/* Somebody else's signal is told from sender_stop()'s own. */
static void test_killed(void **state) {
        Fixture fixture;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        kill(fixture.sender.pid, SIGKILL);
        wait_for_end(&fixture);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_KILLED);
        assert_int_equal(fixture.sender.error, SIGKILL);
        end(&fixture);
}

/* When a signal ends the sender, the receiver half-closes in its place, and so comes to its end. */
static void test_receiver_stands_in(void **state) {
        Fixture fixture;
        Receiver receiver = { .sender = &fixture.sender, .interrupt = -1 };
        pid_t peer;

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        receiver.fd = fixture.pair[NEAR];
        receiver.sink = (Sink){ .take = take_none };
        kill(fixture.sender.pid, SIGKILL);
        peer = fork();
        if (peer == 0) {
                char byte;

                /* Ends when it is told to. */
                close(fixture.pair[NEAR]);
                _exit(read(fixture.pair[FAR], &byte, 1) == 0 ? 0 : 1);
        }
        close(fixture.pair[FAR]);
        assert_int_equal(receiver_run(&receiver), RECEIVER_END);
        assert_int_equal(waitpid(peer, NULL, 0), peer);
        sender_stop(&fixture.sender);
        assert_int_equal(fixture.sender.end, SENDER_KILLED);
        fixture.pair[FAR] = -1;
        end(&fixture);
}

/* The sink's error ends the receiving; what it had taken is counted, what it refused is not. */
static void test_sink_failed(void **state) {
        size_t taken = 0;
        Fixture fixture;
        Receiver receiver = { .sender = &fixture.sender, .interrupt = -1 };

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        receiver.fd = fixture.pair[NEAR];
        receiver.sink = (Sink){ .take = take_none };
        assert_int_equal(write(fixture.pair[FAR], "12345", 5), 5);
        assert_int_equal(receiver_run(&receiver), RECEIVER_SINK_FAILED);
        assert_int_equal(receiver.error, -ENOSPC);
        assert_int_equal(receiver.bytes, 0);
        receiver.sink = (Sink){ .take = take_all, .userdata = &taken };
        assert_int_equal(write(fixture.pair[FAR], "12345", 5), 5);
        assert_int_equal(shutdown(fixture.pair[FAR], SHUT_WR), 0);
        assert_int_equal(receiver_run(&receiver), RECEIVER_END);
        assert_int_equal(receiver.bytes, 5);
        assert_int_equal(taken, 5);
        sender_stop(&fixture.sender);
        end(&fixture);
}

typedef struct Ticks {
        int interrupt;
        int n;
} Ticks;

/* Lets ten seconds pass. The interrupt comes with the third call. */
static uint64_t tick_slowly(void *userdata) {
        Ticks *ticks = userdata;

        lost += 10 * CLOCK_SECOND;
        if (++ticks->n == 3)
                assert_int_equal(write(ticks->interrupt, &(uint64_t){ 1 }, sizeof(uint64_t)),
                                 sizeof(uint64_t));
        return 0;
}

/* While the source gives nothing and the peer owes nothing, the timeout does not count. */
static void test_nothing_owed(void **state) {
        Fixture fixture;
        Ticks ticks = { .interrupt = eventfd(0, EFD_CLOEXEC) };
        Receiver receiver = { .sender = &fixture.sender,
                              .interrupt = ticks.interrupt,
                              .timeout = CLOCK_SECOND,
                              .tick = tick_slowly,
                              .tick_userdata = &ticks };

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        receiver.fd = fixture.pair[NEAR];
        receiver.sink = (Sink){ .take = take_none };
        assert_int_equal(receiver_run(&receiver), RECEIVER_INTERRUPTED);
        sender_stop(&fixture.sender);
        close(ticks.interrupt);
        end(&fixture);
}

/* The interrupt ends a receiver that never finds its socket empty. */
static void test_receiver_always_busy(void **state) {
        Fixture fixture;
        Receiver receiver = { .sender = &fixture.sender, .interrupt = eventfd(1, EFD_CLOEXEC) };

        (void)state;
        start(&fixture, &(Source){ .fill = fill_never });
        receiver.fd = fixture.pair[NEAR];
        receiver.sink = (Sink){ .take = take_slowly, .userdata = &fixture.pair[FAR] };
        assert_int_equal(write(fixture.pair[FAR], "x", 1), 1);
        assert_int_equal(receiver_run(&receiver), RECEIVER_INTERRUPTED);
        sender_stop(&fixture.sender);
        close(receiver.interrupt);
        end(&fixture);
}

/* Runs a receiver whose peer reads the @sent bytes of its sender to their end, and sends @size. */
static int run_surplus(size_t sent, size_t size) {
        static char buffer[65536];
        size_t left = sent, taken = 0;
        Fixture fixture;
        Receiver receiver = { .sender = &fixture.sender,
                              .interrupt = -1,
                              .sink = { .take = take_all, .userdata = &taken } };
        pid_t peer;
        int r;

        start(&fixture, &(Source){ .fill = fill_count, .userdata = &left });
        receiver.fd = fixture.pair[NEAR];
        peer = fork();
        if (peer == 0) {
                close(fixture.pair[NEAR]);
                while (read(fixture.pair[FAR], buffer, sizeof buffer) > 0)
                        ;
                for (size_t n; size > 0; size -= n) {
                        n = size < sizeof buffer ? size : sizeof buffer;
                        if (send(fixture.pair[FAR], buffer, n, MSG_NOSIGNAL) != (ssize_t)n)
                                break;
                }
                _exit(0);
        }
        close(fixture.pair[FAR]);
        fixture.pair[FAR] = -1;
        r = receiver_run(&receiver);
        sender_stop(&fixture.sender);
        close(fixture.pair[NEAR]);
        fixture.pair[NEAR] = -1;
        assert_int_equal(waitpid(peer, NULL, 0), peer);
        end(&fixture);
        return r;
}

/* A mebibyte more than was sent is read, and its next byte is the last one. */
static void test_receiver_surplus(void **state) {
        (void)state;
        assert_int_equal(run_surplus(5, 5 + (1 << 20)), RECEIVER_END);
        assert_int_equal(run_surplus(5, 5 + (1 << 20) + 1), RECEIVER_ENDLESS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_finish),
                cmocka_unit_test(test_interrupted),
                cmocka_unit_test(test_not_started),
                cmocka_unit_test(test_stop_while_taking),
                cmocka_unit_test(test_stop_while_sending),
                cmocka_unit_test(test_source_failed),
                cmocka_unit_test(test_connection_failed),
                cmocka_unit_test(test_killed),
                cmocka_unit_test(test_receiver_stands_in),
                cmocka_unit_test(test_sink_failed),
                cmocka_unit_test(test_receiver_surplus),
                cmocka_unit_test(test_nothing_owed),
                cmocka_unit_test(test_receiver_always_busy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
