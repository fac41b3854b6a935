/* SPDX-License-Identifier: MIT */
/* Closing what others sent, without waiting for them. */

#include "lib/discard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "lib/fdpass.h"
#include "peer.h"
#include "process.h"
#include "unit.h"

enum {
        /* For how long each close(2) would wait, in seconds: longer than a test may take. */
        LINGER = 1000,
        /* Deeper than functions can call each other. */
        DEEP = 3000,
};

static CallFault clone_fault;
static bool child_dies; /* before clone(2) returns */

int clone(int (*run)(void *), void *stack, int flags, void *argument, ...) {
        static int (*real)(int (*)(void *), void *, int, void *, ...);
        pid_t child;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "clone");
        if (fault_strikes(&clone_fault))
                return -1;
        child = real(run, stack, flags, argument);
        if (child > 0 && child_dies) {
                (void)kill(child, SIGKILL);
                (void)waitid(P_PID, (id_t)child, &(siginfo_t){}, WEXITED | WNOWAIT);
        }
        return child;
}

FAULT(pid_t, waitpid, waitpid, (pid_t pid, int *status, int options), (pid, status, options))

/* Returns a connection that is full and lingers; the peer, which reads nothing, is the caller's. */
static int full_connection(int *ret_peer) {
        static const char block[1 << 16];
        int pair[2];

        peer_pair_tcp(pair);
        while (send(pair[1], block, sizeof block, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, LINGER },
                                    sizeof(struct linger)),
                         0);
        *ret_peer = pair[0];
        return pair[1];
}

/* Returns a socket of @type in which a message with @fd waits, and closes that. */
static int wrap(int fd, int type) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fdpass_send(pair[1], NULL, "x", 1, &fd, 1, 0), 0);
        close(fd);
        close(pair[1]);
        return pair[0];
}

/* The child has gone, killed. */
static void expect_child(void) {
        int status = 0;

        assert_true(waitpid(-1, &status, 0) > 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void expect_no_child(void) {
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* What lingers is closed at once, alone or in messages, however deep; nothing stays open. */
static void test_linger(void **state) {
        const int lowest = dup(STDIN_FILENO);
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
        Discard discard = {};
        int peers[5], fd;

        (void)state;
        close(lowest);
        discard_add(&discard, -1);
        discard_add(&discard, full_connection(&peers[0]));
        for (size_t i = 0; i < COUNT(types); i++)
                discard_add(&discard, wrap(full_connection(&peers[1 + i]), types[i]));
        fd = full_connection(&peers[4]);
        for (int i = 0; i < DEEP; i++)
                fd = wrap(fd, types[i % 3]);
        discard_add(&discard, fd);
        discard_close(&discard);
        expect_child();
        for (size_t i = 0; i < COUNT(peers); i++)
                close(peers[i]);
        fd = dup(STDIN_FILENO);
        assert_int_equal(fd, lowest);
        close(fd);
}

/* More than there is room for is closed in parts. */
static void test_many(void **state) {
        const int lowest = dup(STDIN_FILENO);
        Discard discard = { .n = DISCARD_MOST };

        (void)state;
        for (size_t i = 0; i < COUNT(discard.fds); i++)
                discard.fds[i] = -1;
        discard.fds[0] = lowest;
        discard_add(&discard, dup(STDIN_FILENO));
        assert_int_equal(discard.n, 1);
        expect_child();
        assert_int_equal(dup(STDIN_FILENO), lowest);
        discard_add(&discard, lowest);
        discard_close(&discard);
        expect_child();
}

/* Nothing needs no child. */
static void test_nothing(void **state) {
        Discard discard = {};

        (void)state;
        discard_close(&discard);
        expect_no_child();
}

static void discard_and_wait(int error, int times) {
        Discard discard = { .waits = true };
        int peer;

        discard_add(&discard, full_connection(&peer));
        waitpid_fault = (CallFault){ .error = error, .times = times };
        discard_close(&discard);
        assert_int_equal(waitpid_fault.times, 0);
        close(peer);
}

/* A caller that waits has no child left, whatever signals come meanwhile. */
static void test_waits(void **state) {
        (void)state;
        for (int i = 0; i < 20; i++) {
                discard_and_wait(EINTR, i);
                expect_no_child();
        }
        discard_and_wait(ECHILD, 1);
        expect_child();
}

/* A channel in which nothing waits is closed without a child, whether its other end is open or not;
 * one with a message, even an empty one, or with descriptors, needs one. Nothing comes later. */
static void test_channel(void **state) {
        static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET };

        (void)state;
        for (size_t i = 0; i < COUNT(types); i++) {
                Discard discard = {};
                int pair[2], peer;

                assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair), 0);
                discard_add_channel(&discard, pair[0]);
                assert_int_equal(discard.n, 0);
                assert_true(send(pair[1], "x", 1, MSG_NOSIGNAL) < 0);
                close(pair[1]);

                assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair), 0);
                assert_int_equal(send(pair[1], "", 0, 0), 0);
                discard_add_channel(&discard, pair[0]);
                assert_int_equal(discard.n, 1);
                close(pair[1]);
                discard_add_channel(&discard, wrap(full_connection(&peer), types[i]));
                assert_int_equal(discard.n, 3);
                discard_close(&discard);
                expect_child();
                close(peer);
        }
        expect_no_child();
}

/* A message needs a child, too, where the sender makes each peek begin behind it. */
static void test_channel_that_hides(void **state) {
        static const int types[] = { SOCK_DGRAM, SOCK_SEQPACKET };

        (void)state;
        for (size_t i = 0; i < COUNT(types); i++) {
                Discard discard = { .waits = true };
                int peer, channel;

                channel = wrap(full_connection(&peer), types[i]);
                assert_int_equal(setsockopt(channel, SOL_SOCKET, SO_PEEK_OFF, &(int){ 1 << 20 },
                                            sizeof(int)),
                                 0);
                discard_add_channel(&discard, channel);
                assert_int_equal(discard.n, 2);
                discard_close(&discard);
                close(peer);
        }
        expect_no_child();
}

/* Adds connections that linger, alone, in a message and deep in messages, and returns the peers. */
static void add_lingering(Discard *discard, int peers[static 3]) {
        int fd;

        discard_add(discard, full_connection(&peers[0]));
        discard_add(discard, wrap(full_connection(&peers[1]), SOCK_STREAM));
        fd = full_connection(&peers[2]);
        for (int i = 0; i < DEEP; i++)
                fd = wrap(fd, SOCK_DGRAM);
        discard_add(discard, fd);
}

static void lack_child(void *unused) {
        const int lowest = dup(STDIN_FILENO);
        Discard discard = { .waits = true };
        int peers[3], pair[2];
        sigset_t blocked;
        char byte;

        (void)unused;
        close(lowest);
        (void)signal(SIGALRM, SIG_IGN);
        (void)sigfillset(&blocked);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
        clone_fault = (CallFault){ .error = EAGAIN, .times = 2 };
        add_lingering(&discard, peers);
        discard_close(&discard);
        assert_int_equal(discard.n, 0);
        discard_client(wrap(full_connection(&pair[0]), SOCK_STREAM));
        assert_int_equal(clone_fault.times, 0);
        expect_no_child();
        for (size_t i = 0; i < COUNT(peers); i++)
                close(peers[i]);
        close(pair[0]);
        assert_int_equal(dup(STDIN_FILENO), lowest);

        /* All is closed: the peer gets the end. */
        peer_pair_tcp(pair);
        clone_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        discard_add(&discard, wrap(pair[1], SOCK_STREAM));
        discard_close(&discard);
        assert_int_equal(recv(pair[0], &byte, 1, 0), 0);
}

/* Where there can be no child, nothing waits either, whatever the caller has done with signals. */
static void test_no_child(void **state) {
        (void)state;
        process_run(lack_child, NULL);
}

static void lose_child(void *unused) {
        Discard discard = { .waits = true };
        int peers[3];

        (void)unused;
        child_dies = true;
        add_lingering(&discard, peers);
        discard_close(&discard);
        assert_int_equal(discard.n, 0);
}

/* Nothing waits either when another process kills the child at once. */
static void test_lost_child(void **state) {
        (void)state;
        process_run(lose_child, NULL);
}

static void close_inherited(void *unused) {
        const struct itimerval none = {};
        struct itimerval left;
        int peer;

        (void)unused;
        discard_inherited(full_connection(&peer));
        /* No signal comes later. */
        assert_int_equal(getitimer(ITIMER_REAL, &left), 0);
        assert_memory_equal(&left, &none, sizeof none);
}

/* A connection that a child has filled, made to linger and closed is closed at once. */
static void test_inherited(void **state) {
        (void)state;
        process_run(close_inherited, NULL);
}

/* A client of a Unix socket can have sent descriptors; one of another network is reset. */
static void test_client(void **state) {
        int pair[2], peer;
        char byte;

        (void)state;
        discard_client(wrap(full_connection(&peer), SOCK_STREAM));
        expect_child();
        close(peer);
        peer_pair_tcp(pair);
        discard_client(pair[1]);
        assert_int_equal(recv(pair[0], &byte, 1, 0), -1);
        close(pair[0]);
        expect_no_child();
}

static void discard_without_stack(void *data) {
        const uintptr_t page = (uintptr_t)getpagesize();
        const uintptr_t end = (uintptr_t)&data & ~(page - 1);

        /* NOLINTNEXTLINE(performance-no-int-to-ptr): a rounded address */
        (void)madvise((void *)(end - 64 * page), 64 * page, MADV_WIPEONFORK);
        test_many(NULL);
}

/* A caller whose stack is empty in children gets a child that stays. */
static void test_stack(void **state) {
        (void)state;
        for (int i = 0; i < 20; i++)
                process_run(discard_without_stack, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_linger),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_channel),
                cmocka_unit_test(test_channel_that_hides),
                cmocka_unit_test(test_no_child),
                cmocka_unit_test(test_lost_child),
                cmocka_unit_test(test_inherited),
                cmocka_unit_test(test_client),
                cmocka_unit_test(test_stack),
                cmocka_unit_test(test_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
