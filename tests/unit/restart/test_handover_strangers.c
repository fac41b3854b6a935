/* SPDX-License-Identifier: MIT */
/* A connection given away: who and what is not listened to. */

#include "restart/handover.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/unsent.h"
#include "unit.h"

static Manager manager;
static Handover handover;
static Roster *roster;

static int set_up(void **state) {
        (void)state;
        manager_start(&manager);
        assert_int_equal(roster_new(1, &roster), 0);
        return handover_init(&handover);
}

/* Nothing was stored. */
static int tear_down(void **state) {
        (void)state;
        handover_deinit(&handover);
        roster_free(roster);
        manager_stop(&manager);
        return 0;
}

/* Forks a process that the roster knows. */
static pid_t fork_handler(void (*function)(void *data)) {
        static const Listener listener = { .fd = -1 };
        static const Address peer = { .family = AF_UNIX };
        pid_t pid = process_fork(function, NULL);

        roster_assign(roster, roster_claim(roster, &peer, 4711, &listener, clock_now()), pid);
        return pid;
}

/* Takes turns until a handler is waiting to give, if @waiting, or none is. */
static void turn_until(bool waiting) {
        const uint64_t deadline = clock_now() + PATIENCE_SECONDS * CLOCK_SECOND;

        do {
                assert_true(clock_now() < deadline);
                handover_turn(&handover, roster, true);
                (void)poll(NULL, 0, 1);
        } while (handover_waiting(&handover) != waiting);
}

/* Connects to the master as a handler does. */
static int channel_open(void) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&handover.address.name,
                                 handover.address.length),
                         0);
        return fd;
}

/* A process that is no handler of this master is not listened to, and keeps nobody waiting. */
static void test_foreign_process(void **state) {
        int fd = channel_open();

        (void)state;
        handover_turn(&handover, roster, true);
        assert_false(handover_waiting(&handover));
        peer_expect_end(fd);
        close(fd);
}

static void say_nothing(void *unused) {
        int fd = channel_open();

        (void)unused;
        peer_expect_end(fd);
}

static void say_something_else(void *unused) {
        int fd = channel_open();

        (void)unused;
        assert_int_equal(send(fd, "connection", 10, MSG_NOSIGNAL), 10);
        peer_expect_end(fd);
}

/* Takes the master's place, and says of everything that it is stored. */
static void usurp(void *unused) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        (void)unused;
        assert_int_equal(setuid(65534), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&handover.address.name,
                              handover.address.length),
                         0);
        assert_int_equal(listen(fd, 1), 0);
        for (;;) {
                int channel = accept(fd, NULL, NULL);
                char byte;

                if (recv(channel, &byte, 1, 0) == 1)
                        (void)send(channel, "s", 1, MSG_NOSIGNAL);
                close(channel);
        }
}

static void give(void *connection) {
        assert_int_equal(handover_give(&handover.address, *(int *)connection, NULL, 0), 0);
}

/* Nothing is given to another user's process at the address of a master that is gone: it is stored
 * by whoever has it. */
static void test_foreign_listener(void **state) {
        pid_t usurper, handler;
        int pair[2];

        (void)state;
        if (geteuid() != 0)
                skip();
        handover_deinit(&handover);
        usurper = process_fork(usurp, NULL);
        process_wait_asleep(usurper);
        peer_pair(pair);
        handler = process_fork(give, &pair[1]);
        manager_expect_stored(&manager, STORE_CONNECTION, 1);
        manager_expect_barrier(&manager);
        process_wait_exit(handler, 0);
        assert_int_equal(kill(usurper, SIGKILL), 0);
        (void)process_wait(usurper);
        close(pair[0]);
        close(pair[1]);
}

/* A handler that sends no descriptor is dropped. */
static void test_no_descriptor(void **state) {
        pid_t handler = fork_handler(say_something_else);

        (void)state;
        process_wait_asleep(handler);
        turn_until(false);
        process_wait_exit(handler, 0);
}

/* A handler that connects and gives nothing is waited for, without keeping the master, until it
 * ends. */
static void test_silent_handler(void **state) {
        pid_t handler = fork_handler(say_nothing);

        (void)state;
        turn_until(true);
        turn_until(true);
        assert_int_equal(kill(handler, SIGKILL), 0);
        assert_true(WIFSIGNALED(process_wait(handler)));
        turn_until(false);
}

static void expect_no_pending(int fd) {
        uint64_t cookie = 4711;
        char back[16];

        assert_true(fd >= 0);
        assert_int_equal(pending_read(fd, back, sizeof back, &cookie), -EBADMSG);
        assert_int_equal(pending_read(fd, NULL, 0, &cookie), -EBADMSG);
        assert_int_equal(cookie, 4711);
        close(fd);
}

/* What is no memfd with a cookie and data is told from one. */
static void test_no_pending(void **state) {
        uint64_t cookie;
        int pair[2], fd;

        (void)state;
        assert_int_equal(pipe(pair), 0);
        expect_no_pending(pair[0]);
        expect_no_pending(pair[1]);
        peer_pair(pair);
        expect_no_pending(pair[0]);
        expect_no_pending(pair[1]);
        expect_no_pending(memfd_create("empty", MFD_CLOEXEC));
        fd = memfd_create("short", MFD_CLOEXEC);
        assert_int_equal(write(fd, "1234567", 7), 7);
        expect_no_pending(fd);
        assert_int_equal(pending_read(-1, NULL, 0, &cookie), -EBADF);
}

/* Each socket has a cookie of its own, and what is no socket has none. */
static void test_cookie(void **state) {
        int pair[2], fd = memfd_create("none", MFD_CLOEXEC);

        (void)state;
        peer_pair_tcp(pair);
        assert_true(socket_cookie(pair[0]) != 0);
        assert_true(socket_cookie(pair[0]) != socket_cookie(pair[1]));
        assert_true(socket_cookie(fd) == 0);
        assert_int_equal(dup2(pair[0], fd), fd);
        assert_true(socket_cookie(fd) == socket_cookie(pair[0]));
        close(pair[0]);
        close(pair[1]);
        close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_foreign_process),        TEST(test_foreign_listener),
                TEST(test_no_descriptor),          TEST(test_silent_handler),
                cmocka_unit_test(test_no_pending), cmocka_unit_test(test_cookie),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
