/* SPDX-License-Identifier: MIT */
/* Streams that are interrupted, whose sender is held or dies, whose peer answers something else, or
 * that lack something. */

#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/load/reel.h"
#include "client/load/stream.h"
#include "fault.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "peer.h"

FAULT(int, epoll_create1, epoll_create1, (int flags), (flags))
FAULT(pid_t, fork, fork, (void), ())
FAULT(pid_t, getppid, getppid, (void), ())
FAULT(ssize_t, recv, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
FAULT(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *message, int flags),
      (fd, message, flags))

enum {
        /* The looks of the receiver while the sender is held. */
        LOOKS = 10,
};

typedef enum Sending {
        SENDER_NEVER_HEARS,
        SENDER_IS_HELD,
        SENDER_ENDS_LATE,
        SENDER_DIES,
        SENDER_SENDS,
} Sending;

static LoadPage *page;
static ClientOptions options;
static pid_t receiver;
static Sending sending;
/* The sender is held until the receiver closes its end. */
static int hold[2];
static int looks;
/* Shared: the sender stands still. */
static atomic_bool *held;
/* Shared: the longest pause that the sender has asked for, in nanoseconds. */
static atomic_uint_fast64_t *longest;
/* Shared: the instant of a clock that only pauses move, or 0 for the machine's. */
static atomic_uint_fast64_t *moved;
/* The receiver's end of the connection, and the number of bytes that it waits for at its first look
 * so that they come at once. */
static int connection;
static int at_once;

static int real_wait(int epoll, struct epoll_event *events, int size, int timeout) {
        return (int)syscall(SYS_epoll_pwait, epoll, events, size, timeout, NULL, (size_t)0);
}

/* Holds the sender until the receiver has looked several times. */
static void stand_still(void) {
        char byte;

        close(hold[1]);
        hold[1] = -1;
        *held = true;
        (void)!read(hold[0], &byte, 1);
}

/* In the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        if (clock != CLOCK_MONOTONIC || moved == NULL || *moved == 0)
                return (int)syscall(GETTIME, clock, ret_time);
        *ret_time = clock_timespec(*moved);
        return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *then,
                    struct timespec *ret_left) {
        const uint64_t instant = (uint64_t)then->tv_sec * CLOCK_SECOND + (uint64_t)then->tv_nsec;
        const uint64_t now = clock_now();

        if (instant > now && instant - now > *longest)
                *longest = instant - now;
        if (*moved == 0)
                return syscall(SYS_clock_nanosleep, clock, flags, then, ret_left) < 0 ? errno : 0;
        if (instant > now)
                *moved = instant;
        return 0;
}

int shutdown(int fd, int how) {
        if (sending == SENDER_ENDS_LATE && getpid() != receiver)
                stand_still();
        return (int)syscall(SYS_shutdown, fd, how);
}

static int wait_of_sender(int epoll, struct epoll_event *events, int size, int timeout) {
        if (sending == SENDER_NEVER_HEARS)
                return 0;
        if (sending == SENDER_DIES)
                (void)raise(SIGKILL);
        if (sending == SENDER_IS_HELD)
                stand_still();
        return real_wait(epoll, events, size, timeout);
}

static void wait_for_bytes(void) {
        for (int there = 0; there < at_once; (void)poll(NULL, 0, 1))
                assert_int_equal(ioctl(connection, FIONREAD, &there), 0);
        at_once = 0;
}

/* Returns whether the sender does not end a connection on which all has come back. */
static bool is_left_alone(void) {
        return sending == SENDER_ENDS_LATE && *held && page->bytes_received == page->bytes_sent;
}

/*
 * In the place of the C library's. An interrupted receiver is so just after it has looked whether
 * it was, and hears of a connection that has ended by that; its sender never hears that it may
 * send. A held sender goes on, without a timeout, once the receiver has looked several times.
 */
int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout) {
        if (getpid() != receiver)
                return wait_of_sender(epoll, events, size, timeout);
        wait_for_bytes();
        if (sending == SENDER_NEVER_HEARS) {
                page->stop = true;
                peer_wait_readable(epoll);
        } else if (sending == SENDER_IS_HELD || is_left_alone()) {
                options.timeout = ++looks < LOOKS ? 1 : 0;
                if (looks == LOOKS)
                        close(hold[1]);
        }
        return real_wait(epoll, events, size, timeout > 1 ? 1 : timeout);
}

/* Echoes until the end of the stream. */
static _Noreturn void echo(int fd) {
        static char bytes[4096];
        ssize_t n;

        while ((n = read(fd, bytes, sizeof bytes)) > 0)
                if (write(fd, bytes, (size_t)n) != n)
                        _exit(1);
        _exit(0);
}

static _Noreturn void drain(int fd) {
        static char bytes[4096];

        while (read(fd, bytes, sizeof bytes) > 0)
                ;
        _exit(0);
}

/* Echoes two turns at once, with a change in the second one. */
static _Noreturn void change(int fd) {
        static char bytes[2 * REEL_PERIOD];

        if (recv(fd, bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
                _exit(1);
        bytes[REEL_PERIOD + 862] ^= 1;
        if (write(fd, bytes, sizeof bytes) != sizeof bytes)
                _exit(1);
        drain(fd);
}

static _Noreturn void refuse(int fd) {
        static const char text[] = "HTTP/1.1 400 Bad Request\r\n";

        if (write(fd, text, sizeof text - 1) != sizeof text - 1)
                _exit(1);
        drain(fd);
}

/* What the peer does. */
static void (*behave)(int fd) = echo;

/* Runs @connections streams of that duration, one to the peer and the others to a socket that
 * refuses them. The sender takes part as @how says. Returns what stream_run() does. */
static int run_streams(Sending how, size_t connections, uint64_t start) {
        const Endpoint nobody = { .local = { .sun_family = AF_UNIX, .sun_path = "\0mpecho-nobody" },
                                  .length = sizeof nobody.local };
        LoadPlan plan = { .options = &options,
                          .peer = &nobody,
                          .connections = connections,
                          .workers = 1,
                          .ready = -1 };
        int fds[2], go[2], r;
        pid_t peer;

        sending = how;
        looks = 0;
        page = mapping_new_shared(sizeof *page);
        assert_non_null(page);
        page->sent = mapping_new_shared(connections * sizeof *page->sent);
        assert_non_null(page->sent);
        held = mapping_new_shared(sizeof *held);
        assert_non_null(held);
        longest = mapping_new_shared(sizeof *longest);
        assert_non_null(longest);
        moved = mapping_new_shared(sizeof *moved);
        assert_non_null(moved);
        *moved = options.bandwidth > 0 ? start : 0;
        page->start = start;
        assert_int_equal(pipe(go), 0);
        close(go[1]);
        plan.go = go[0];
        plan.page = page;
        receiver = getpid();
        peer_pair(fds);
        plan.first = connection = fds[1];
        peer = fork();
        if (peer == 0) {
                close(fds[1]);
                behave(fds[0]);
        }
        close(fds[0]);

        assert_int_equal(pipe(hold), 0);
        r = stream_run(&plan);
        if (r < 0 || start == 0 || page->sender_signal != 0)
                close(fds[1]);
        assert_int_equal(waitpid(peer, NULL, 0), peer);
        close(hold[0]);
        close(go[0]);
        return r;
}

/* Runs one stream of that duration to an echo, which the sender takes part in as @how says. */
static void run(Sending how, uint64_t duration) {
        options = (ClientOptions){ .size = 4096,
                                   .duration = duration,
                                   .timeout = how == SENDER_ENDS_LATE ? 0 : 1 };
        assert_int_equal(run_streams(how, 1, clock_now()), 0);
}

static void expect_errors(uint64_t timeouts) {
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                assert_int_equal(page->errors[kind], kind == FAILURE_TIMEOUT ? timeouts : 0);
        moved = mapping_free(moved, sizeof *moved);
        mapping_free(longest, sizeof *longest);
        mapping_free(held, sizeof *held);
        mapping_free(page->sent, sizeof *page->sent);
        mapping_free(page, sizeof *page);
}

/* A connection that ends because of an interrupt is no error of the peer's. */
static void test_interrupt(void **state) {
        (void)state;
        run(SENDER_NEVER_HEARS, 3600 * CLOCK_SECOND);
        close(hold[1]);
        expect_errors(0);
}

/* The peer owes nothing while the sender has no processor, also after the duration. */
static void test_held_sender(void **state) {
        (void)state;
        run(SENDER_IS_HELD, CLOCK_MILLISECOND);
        assert_true(looks >= LOOKS);
        assert_true(page->bytes_sent > 0);
        assert_int_equal(page->bytes_received, page->bytes_sent);
        expect_errors(0);
}

/* The peer owes its end only once the sender has half-closed the connection. */
static void test_late_end(void **state) {
        (void)state;
        run(SENDER_ENDS_LATE, CLOCK_MILLISECOND);
        assert_true(looks >= LOOKS);
        assert_int_equal(page->bytes_received, page->bytes_sent);
        expect_errors(0);
}

/* A sender that dies ends the work at once, without a timeout, and the page has its signal. */
static void test_dead_sender(void **state) {
        (void)state;
        options = (ClientOptions){ .size = 4096, .duration = 3600 * CLOCK_SECOND };
        assert_int_equal(run_streams(SENDER_DIES, 1, clock_now()), 0);
        assert_int_equal(page->sender_signal, SIGKILL);
        close(hold[1]);
        expect_errors(0);
}

static void expect_all(uint64_t refused) {
        assert_true(page->bytes_sent > 0);
        assert_int_equal(page->bytes_received, page->bytes_sent);
        assert_int_equal(page->errors[FAILURE_REFUSED], refused);
        /* Rates are those of the whole duration. */
        assert_true(page->window.elapsed >= options.duration);
        page->errors[FAILURE_REFUSED] = 0;
        close(hold[1]);
        expect_errors(0);
}

/* A sender whose calls are interrupted, or find no room, sends until the end, at any bandwidth, and
 * over the connections that there are; at a fixed one it sends each millisecond. */
static void test_sender(void **state) {
        static const struct {
                uint64_t bandwidth;
                size_t connections;
                int send, recv;
        } cases[] = { { 0, 1, EAGAIN, EAGAIN },
                      { 0, 2, EINTR, EINTR },
                      { 1 << 20, 1, EINTR, EAGAIN },
                      { 1 << 20, 2, EAGAIN, EINTR } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                options = (ClientOptions){ .size = 4096,
                                           .duration = 20 * CLOCK_MILLISECOND,
                                           .bandwidth = cases[i].bandwidth,
                                           .connections = cases[i].connections,
                                           .connection.interrupt = -1 };
                sendmsg_fault = (CallFault){ .error = cases[i].send, .after = 1, .times = 1 };
                recv_fault = (CallFault){ .error = cases[i].recv, .times = 1 };
                assert_int_equal(run_streams(SENDER_SENDS, cases[i].connections, clock_now()), 0);
                sendmsg_fault.times = 0;
                assert_int_equal(recv_fault.times, 0);
                assert_int_equal(*longest, cases[i].bandwidth > 0 ? CLOCK_MILLISECOND : 0);
                expect_all(cases[i].connections - 1);
        }
}

/* A connection that only the sender or only the receiver finds reset is an error of that kind,
 * during the duration and after it. */
static void test_reset(void **state) {
        static const uint64_t durations[] = { 3600 * CLOCK_SECOND, 0 };
        CallFault *const faults[] = { &sendmsg_fault, &recv_fault };

        (void)state;
        for (size_t i = 0; i < COUNT(durations) * COUNT(faults); i++) {
                CallFault *const fault = faults[i % COUNT(faults)];

                options = (ClientOptions){ .size = 4096, .duration = durations[i / COUNT(faults)] };
                *fault = (CallFault){ .error = ECONNRESET, .times = 1 };
                assert_int_equal(run_streams(SENDER_SENDS, 1, clock_now()), 0);
                fault->times = 0;
                assert_int_equal(page->errors[FAILURE_RESET], 1);
                page->errors[FAILURE_RESET] = 0;
                close(hold[1]);
                expect_errors(0);
        }
}

/* All bytes of a read are compared, those of its second turn too, and another service is named. */
static void test_other_bytes(void **state) {
        static const struct {
                void (*behave)(int fd);
                int at_once;
                bool foreign;
        } cases[] = { { change, 2 * REEL_PERIOD, false }, { refuse, 1, true } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                options = (ClientOptions){ .size = 4096,
                                           .duration = 3600 * CLOCK_SECOND,
                                           .timeout = 60 * CLOCK_SECOND };
                behave = cases[i].behave;
                at_once = cases[i].at_once;
                assert_int_equal(run_streams(SENDER_SENDS, 1, clock_now()), 0);
                behave = echo;
                assert_int_equal(page->errors[FAILURE_DIFFERS], 1);
                assert_int_equal(page->foreign[0] != '\0', cases[i].foreign);
                page->errors[FAILURE_DIFFERS] = 0;
                close(hold[1]);
                expect_errors(0);
        }
}

/* Without a sender, or what each of the two processes needs, there is no run. One that its parent
 * cancels sends nothing, nor does a sender whose parent is gone. */
static void test_no_run(void **state) {
        (void)state;
        options = (ClientOptions){ .size = 4096, .duration = CLOCK_MILLISECOND, .timeout = 1 };
        fork_fault = (CallFault){ .error = EAGAIN, .after = 1, .times = 1 };
        assert_int_equal(run_streams(SENDER_SENDS, 1, clock_now()), -EAGAIN);
        close(hold[1]);
        expect_errors(0);

        epoll_create1_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(run_streams(SENDER_SENDS, 1, clock_now()), -EMFILE);
        assert_int_equal(page->bytes_sent, 0);
        close(hold[1]);
        expect_errors(0);

        assert_int_equal(run_streams(SENDER_SENDS, 1, 0), 0);
        assert_int_equal(page->bytes_sent, 0);
        close(hold[1]);
        expect_errors(0);

        getppid_fault = (CallFault){ .error = ESRCH, .times = 1 };
        assert_int_equal(run_streams(SENDER_SENDS, 1, clock_now()), -ESRCH);
        getppid_fault.times = 0;
        assert_int_equal(page->bytes_sent, 0);
        close(hold[1]);
        expect_errors(0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sender),      cmocka_unit_test(test_reset),
                cmocka_unit_test(test_no_run),      cmocka_unit_test(test_interrupt),
                cmocka_unit_test(test_held_sender), cmocka_unit_test(test_late_end),
                cmocka_unit_test(test_dead_sender), cmocka_unit_test(test_other_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
