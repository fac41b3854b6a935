/* SPDX-License-Identifier: MIT */
/* Streams that are interrupted, and those whose sender is held or dies. */

#include "unit.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/load/stream.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "peer.h"

enum {
        /* The looks of the receiver while the sender is held. */
        LOOKS = 10,
};

typedef enum Sending {
        SENDER_NEVER_HEARS,
        SENDER_IS_HELD,
        SENDER_ENDS_LATE,
        SENDER_DIES,
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
int shutdown(int fd, int how) {
        if (sending == SENDER_ENDS_LATE && getpid() != receiver)
                stand_still();
        return (int)syscall(SYS_shutdown, fd, how);
}

static int wait_of_sender(int epoll, struct epoll_event *events, int size, int timeout) {
        if (sending == SENDER_NEVER_HEARS)
                return 0;
        if (sending == SENDER_DIES)
                _exit(1);
        if (sending == SENDER_IS_HELD)
                stand_still();
        return real_wait(epoll, events, size, timeout);
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

/* Runs one stream of that duration to an echo, which the sender takes part in as @how says. */
static void run(Sending how, uint64_t duration) {
        LoadPlan plan = { .options = &options, .connections = 1, .workers = 1, .ready = -1 };
        int fds[2], go[2];
        pid_t peer;

        sending = how;
        looks = 0;
        options = (ClientOptions){ .size = 4096,
                                   .duration = duration,
                                   .timeout = how == SENDER_ENDS_LATE ? 0 : 1 };
        page = mapping_new_shared(sizeof *page);
        assert_non_null(page);
        page->sent = mapping_new_shared(sizeof *page->sent);
        assert_non_null(page->sent);
        held = mapping_new_shared(sizeof *held);
        assert_non_null(held);
        page->start = clock_now();
        assert_int_equal(pipe(go), 0);
        close(go[1]);
        plan.go = go[0];
        plan.page = page;
        receiver = getpid();
        peer_pair(fds);
        plan.first = fds[1];
        peer = fork();
        if (peer == 0) {
                close(fds[1]);
                echo(fds[0]);
        }
        close(fds[0]);

        assert_int_equal(pipe(hold), 0);
        assert_int_equal(stream_run(&plan), 0);
        assert_int_equal(waitpid(peer, NULL, 0), peer);
        close(hold[0]);
        close(go[0]);
}

static void expect_errors(uint64_t timeouts) {
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                assert_int_equal(page->errors[kind], kind == FAILURE_TIMEOUT ? timeouts : 0);
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

/* A sender that dies does not leave the receiver waiting for ever. */
static void test_dead_sender(void **state) {
        (void)state;
        run(SENDER_DIES, CLOCK_MILLISECOND);
        close(hold[1]);
        expect_errors(1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_interrupt),
                cmocka_unit_test(test_held_sender),
                cmocka_unit_test(test_late_end),
                cmocka_unit_test(test_dead_sender),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
