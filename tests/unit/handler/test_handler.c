/* SPDX-License-Identifier: MIT */
/* The process that serves one connection, from fork to exit. */

#include "handler/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "session.h"
#include "unit.h"

/* How many descriptors @pid has, all of which must be below 5. */
static unsigned count_descriptors(pid_t pid) {
        struct rlimit limit;
        unsigned n = 0;
        char path[64];

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        for (rlim_t fd = 0; fd < limit.rlim_cur && fd < 4096; fd++) {
                snprintf(path, sizeof path, "/proc/%d/fd/%ju", pid, (uintmax_t)fd);
                if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                assert_in_range(fd, 0, 4);
                n++;
        }
        return n;
}

static ino_t inode_of(pid_t pid, int fd) {
        struct stat status;
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        return status.st_ino;
}

/* A handler has stdin, stdout and stderr as they were, its connection twice, and nothing else. */
static void test_descriptors(void **state) {
        Session session = session_start_handler(false, 0);

        (void)state;
        peer_echo(session.pair[0], "a");
        assert_int_equal(count_descriptors(session.pid), 5);
        assert_true(inode_of(session.pid, 3) == inode_of(session.pid, 4));
        session_end(&session, END_CLOSED_BY_PEER, SESSION_ANY);
}

static uint64_t signal_set(pid_t pid, const char *name) {
        return strtoull(process_status(pid, name), NULL, 16);
}

static uint64_t bit(int signal) {
        return (uint64_t)1 << (signal - 1);
}

/* No signal is blocked in a handler; SIGTERM and SIGINT are caught, SIGHUP, SIGPIPE and SIGUSR1
 * ignored, and SIGCHLD is neither. */
static void test_signals(void **state) {
        Session session = session_start_handler(false, 0);
        uint64_t ignored, caught;

        (void)state;
        peer_echo(session.pair[0], "a");
        assert_int_equal(signal_set(session.pid, "SigBlk"), 0);
        caught = signal_set(session.pid, "SigCgt");
        ignored = signal_set(session.pid, "SigIgn");
        assert_int_equal(caught & (bit(SIGTERM) | bit(SIGINT)), bit(SIGTERM) | bit(SIGINT));
        assert_int_equal(ignored & (bit(SIGHUP) | bit(SIGPIPE) | bit(SIGUSR1)),
                         bit(SIGHUP) | bit(SIGPIPE) | bit(SIGUSR1));
        assert_int_equal((caught | ignored) & bit(SIGCHLD), 0);
        assert_int_equal(kill(session.pid, SIGHUP), 0);
        assert_int_equal(kill(session.pid, SIGPIPE), 0);
        assert_int_equal(kill(session.pid, SIGUSR1), 0);
        peer_echo(session.pair[0], "b");
        session_end(&session, END_CLOSED_BY_PEER, SESSION_ANY);
}

/* The exit code is the reason: the peer closed. */
static void test_closed(void **state) {
        Session session = session_start_handler(true, 0);

        (void)state;
        peer_echo(session.pair[0], "Hello");
        assert_int_equal(shutdown(session.pair[0], SHUT_WR), 0);
        peer_expect_end(session.pair[0]);
        process_wait_ended(session.pid);
        assert_int_equal(session.ledger->bytes, 5);
        session_end(&session, END_CLOSED_BY_PEER, SESSION_ANY);
}

/* The exit code is the reason: the peer broke the connection off. A handler that writes to it is
 * not killed by SIGPIPE. */
static void test_reset(void **state) {
        Session session = session_start_handler(false, 0);

        (void)state;
        (void)session_fill(&session);
        session_end(&session, END_RESET_BY_PEER, SESSION_ANY);
}

/* The exit code is the reason: the peer sent nothing. It gets the end of the stream, not a reset.
 */
static void test_idle(void **state) {
        Session session = session_start_handler(true, CLOCK_SECOND / 10);

        (void)state;
        peer_expect_end(session.pair[0]);
        session_end(&session, END_IDLE, SESSION_ANY);
}

/* The exit code is the reason: the peer read nothing. What was written reaches it, although it has
 * sent more than was read. */
static void test_stalled(void **state) {
        Session session;
        size_t sent = session_start_full(&session, CLOCK_SECOND / 10, session_handle);

        (void)state;
        session_adopt(&session);
        process_wait_ended(session.pid);
        assert_in_range(session.ledger->bytes, 1, sent - 1);
        peer_expect_pattern(session.pair[0], 0, session.ledger->bytes, false);
        session_end(&session, END_STALLED, SESSION_ANY);
}

/* The connection that a handler is to serve may have any number, the one that it will have among
 * them. */
static void connect_high(void *data) {
        Session *session = data;
        int high = fcntl(session->pair[1], F_DUPFD, 40);

        assert_true(high >= 40);
        close(session->pair[1]);
        session->pair[1] = high;
        session_handle(session);
}

static void connect_third(void *data) {
        Session *session = data;
        int spare = dup(session->pair[0]);

        if (session->pair[1] != 3) {
                assert_int_equal(dup2(session->pair[1], 3), 3);
                close(session->pair[1]);
        }
        close(spare);
        session->pair[1] = 3;
        session_handle(session);
}

static void test_numbers(void **state) {
        void (*const connect[])(void *) = { connect_high, connect_third };

        (void)state;
        for (size_t i = 0; i < COUNT(connect); i++) {
                Session session;

                session_start(&session, false, 0, 0, connect[i]);
                session_adopt(&session);
                peer_echo(session.pair[0], "Hello");
                session_end(&session, END_CLOSED_BY_PEER, SESSION_ANY);
        }
}

static void serve_here(void *data) {
        const int *pair = data;
        LedgerEntry entry = {};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), kept = dup(null);

        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        handler_init(0);
        assert_int_equal(handler_serve(&(Handler){ .connection = pair[1],
                                                   .title = "mpecho: somebody",
                                                   .unsent = -1,
                                                   .ledger = &entry }),
                         END_CLOSED_BY_PEER);
        assert_int_equal(entry.bytes, 5);
        assert_true(fcntl(kept, F_GETFD) >= 0);
        assert_true(fcntl(pair[1], F_GETFD) >= 0);
}

/* Serving in a process that has more to do leaves its other descriptors open, and the connection.
 */
static void test_serve(void **state) {
        char back[5];
        int pair[2];
        pid_t pid;

        (void)state;
        peer_pair(pair);
        peer_send(pair[0], "Hello", 5);
        assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
        pid = process_fork(serve_here, pair);
        close(pair[1]);
        assert_int_equal(peer_receive(pair[0], back, 5), 5);
        process_wait_exit(pid, 0);
        close(pair[0]);
}

/* Installs a filter that refuses nothing, as of a sandbox. */
static void enter_sandbox(void) {
        struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        const struct sock_fprog program = { .len = 1, .filter = &allow };

        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void confine(void *data) {
        const bool sandbox = *(const bool *)data;
        const pid_t master = getpid(), other = getppid();
        int pair[2], owner = master;
        char *none[] = { NULL };

        peer_pair(pair);
        if (sandbox)
                enter_sandbox();
        handler_init(0);
        const int results[] = {
                kill(master, 0),
                kill(0, 0),
                kill(-getpgrp(), 0),
                (int)syscall(SYS_tkill, master, 0),
                tgkill(master, master, 0),
                fcntl(pair[0], F_SETOWN, master),
                fcntl(pair[0], F_SETOWN_EX, &(struct f_owner_ex){ F_OWNER_PID, master }),
                ioctl(pair[0], FIOSETOWN, &owner),
                ioctl(pair[0], SIOCSPGRP, &owner),
                prlimit(other, RLIMIT_NOFILE, NULL, NULL),
        };

        for (size_t i = 0; i < COUNT(results); i++)
                assert_int_equal(results[i], sandbox ? -1 : 0);
        assert_int_equal(execve("/", none, none), -1);
        assert_int_equal(errno, sandbox ? EPERM : EACCES);
        assert_int_equal(syscall(SYS_execveat, AT_FDCWD, "/", none, none, 0), -1);
        assert_int_equal(errno, sandbox ? EPERM : EACCES);
        assert_int_equal(kill(other, 0), 0);
        assert_true(fcntl(pair[0], F_GETFL) >= 0);
        assert_int_equal(ioctl(pair[0], SIOCOUTQ, &owner), 0);
        assert_int_equal(prlimit(0, RLIMIT_NOFILE, NULL, NULL), 0);
}

/* In a sandbox that filters system calls, the master and its handlers execute nothing, send the
 * master no signal, have the kernel send it none, and leave the limits of others alone. */
static void test_confined(void **state) {
        (void)state;
        process_run(confine, &(bool){ false });
        process_run(confine, &(bool){ true });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_descriptors), cmocka_unit_test(test_signals),
                cmocka_unit_test(test_closed),      cmocka_unit_test(test_reset),
                cmocka_unit_test(test_idle),        cmocka_unit_test(test_stalled),
                cmocka_unit_test(test_numbers),     cmocka_unit_test(test_serve),
                cmocka_unit_test(test_confined),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
