/* SPDX-License-Identifier: MIT */
/* systemd's file descriptor store: what is sent there. */

#include "restart/fdstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "lib/clock.h"
#include "lib/ppoll.h"
#include "manager.h"
#include "process.h"
#include "unit.h"

static Manager manager;
static uint64_t step, stepped; /* what goes by at each look at the clock, and what has */

FAULT(int, ppoll, ppoll,
      (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
      (fds, n, timeout, mask))

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now) {
        const int r = (int)syscall(GETTIME, clock, now);
        const uint64_t then = (uint64_t)now->tv_nsec + stepped;

        now->tv_sec += (time_t)(then / CLOCK_SECOND);
        now->tv_nsec = (long)(then % CLOCK_SECOND);
        stepped += step;
        return r;
}

static int set_up(void **state) {
        (void)state;
        manager_start(&manager);
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        manager_stop(&manager);
        return 0;
}

static ino_t file_of(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return status.st_ino;
}

static int end;

static void put_own(void *run) {
        assert_int_equal(fdstore_put_connections(&end, 1, *(uint64_t *)run, 4194304), 0);
        assert_int_equal(fdstore_barrier(), 0);
}

/* Expects that the connection of one handler is stored as @name. */
static void expect_own(uint64_t run, const char *name) {
        pid_t pid;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        end = pair[0];
        pid = process_fork(put_own, &run);
        manager_expect_stored(&manager, name);
        manager_expect_barrier(&manager);
        process_wait_exit(pid, 0);
        close(pair[0]);
        close(pair[1]);
}

/* A descriptor is sent by a name that has its kind and run in it, and stays the caller's. */
static void test_put(void **state) {
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fdstore_put(FDSTORE_CONNECTION, 12, pair[0]), 0);
        manager_expect_stored(&manager, "mpecho-connection.12");
        assert_int_equal(file_of(manager.fds[0]), file_of(pair[0]));
        assert_int_equal(fdstore_put(FDSTORE_LEDGER, 1, pair[1]), 0);
        manager_expect_stored(&manager, "mpecho-ledger.1");
        assert_int_equal(file_of(manager.fds[0]), file_of(pair[1]));
        expect_own(12, "h.12.4194304");
        close(pair[0]);
        close(pair[1]);
}

/* What makes no bundle is not sent. */
static void test_put_nothing(void **state) {
        (void)state;
        assert_int_equal(fdstore_put_connections(&(int){ -1 }, 1, 12, 4711), -EBADF);
        manager_expect_none(&manager);
}

static void expect_name(const char *name, FdstoreKind kind, uint64_t run) {
        uint64_t found = 4711;

        if (fdstore_parse_name(name, &found) != kind || found != run)
                fail_msg("'%s' is misread", name);
}

/* The names by which any version of mpecho stores are known, with the number of their run. */
static void test_names(void **state) {
        (void)state;
        expect_name("mpecho-connection.1", FDSTORE_CONNECTION, 1);
        expect_name("mpecho-connection.12", FDSTORE_CONNECTION, 12);
        expect_name("h.12.4711", FDSTORE_CONNECTION, 12);
        expect_name("mpecho-connection.000000000000000000000000000000000000000000001",
                    FDSTORE_CONNECTION, 1);
        expect_name("mpecho-ledger.999999999999", FDSTORE_LEDGER, UINT64_C(999999999999));
        expect_name("mpecho-connection", FDSTORE_OLD_CONNECTION, 0);
        expect_name("mpecho-pending", FDSTORE_OLD_UNSENT, 0);
        expect_name("mpecho-roster", FDSTORE_OLD_LEDGER, 0);
        expect_name("mpecho-roster-other", FDSTORE_OLD_LEDGER, 0);
}

/* The names of the connections of 8,000 handlers fit into LISTEN_FDNAMES, with the longest process
 * IDs and after thousands of restarts: the kernel takes 32 pages for a variable, execve(2). */
static void test_many_names(void **state) {
        static const char name[] = "h.9999.4194304";

        (void)state;
        expect_own(9999, name);
        assert_true(8000 * (strlen(name) + strlen(":")) < (size_t)32 * 4096);
}

/* All other names are a stranger's, those with a number that no run has among them. */
static void test_strangers(void **state) {
        static const char *const strangers[] = {
                NULL,
                "",
                "stored",
                "mpecho-",
                "mpecho-connection.",
                "mpecho-connection.0",
                "mpecho-connection.-1",
                "mpecho-connection. 1",
                "mpecho-connection.1 ",
                "mpecho-connection.1x",
                "mpecho-connection.1000000000000",
                "mpecho-connection.18446744073709551617",
                "mpecho-connection.0000000000000000000000000000000000000000000001",
                "mpecho-connection.1.2",
                "h.1.2147483648",
                "h..1",
                "mpecho-connections",
                "h.",
                "h.1",
                "h.1.",
                "h.1.0",
                "h.0.1",
                "h.1.2.3",
                "mpecho-ledger",
                "mpecho-ledger.",
                "mpecho-ledger.1.2",
                "mpecho-pending.1",
                "mpecho-rosters",
                "Mpecho-ledger.1",
        };

        (void)state;
        for (size_t i = 0; i < COUNT(strangers); i++)
                expect_name(strangers[i], FDSTORE_STRANGER, 0);
}

/* A name is removed as it is, or as one kind of one run. */
static void test_remove(void **state) {
        (void)state;
        fdstore_remove("mpecho-roster");
        manager_expect_removed(&manager, "mpecho-roster");
        fdstore_remove_own(7, 4711);
        manager_expect_removed(&manager, "h.7.4711");
}

static void remove_without_end(void *data) {
        (void)data;
        for (int i = 0; i < 10000; i++)
                fdstore_remove_own(7, 4711);
}

/* Removing a kind never blocks, whatever the manager does. */
static void test_remove_full(void **state) {
        (void)state;
        process_run(remove_without_end, NULL);
        while (recv(manager.fd, &(char){ 0 }, 1, MSG_DONTWAIT) > 0)
                ;
}

static void wait_at_barrier(void *data) {
        (void)data;
        assert_int_equal(fdstore_barrier(), 0);
}

/* The barrier is passed when the manager has taken what was sent before it, and not sooner. */
static void test_barrier(void **state) {
        pid_t pid = process_fork(wait_at_barrier, NULL);

        (void)state;
        manager_expect(&manager, "BARRIER=1", 1);
        process_wait_asleep(pid);
        assert_int_equal(process_status(pid, "State")[0], 'S');
        manager_forget(&manager);
        process_wait_exit(pid, 0);
}

static void give_up(void *unused) {
        const int next = dup(STDIN_FILENO);

        (void)unused;
        close(next);
        ppoll_fault = (CallFault){ .error = ENOMEM, .times = 1 };
        assert_int_equal(fdstore_barrier(), -ENOMEM);
        /* It waits until the next look at the clock. */
        step = 20 * CLOCK_SECOND - CLOCK_MILLISECOND;
        assert_int_equal(fdstore_barrier(), -ETIMEDOUT);
        step = 0;
        assert_int_equal(dup(STDIN_FILENO), next);
}

/* The caller learns of a manager that does not come so far within 20 seconds, and of a wait that
 * fails. */
static void test_barrier_not_passed(void **state) {
        const pid_t pid = process_fork(give_up, NULL);

        (void)state;
        for (int i = 0; i < 2; i++)
                manager_expect(&manager, "BARRIER=1", 1);
        process_wait_exit(pid, 0);
        manager_forget(&manager);
}

static void wait_interrupted(void *unused) {
        (void)unused;
        ppoll_fault = (CallFault){ .error = EINTR, .times = 2 };
        assert_int_equal(fdstore_barrier(), 0);
        assert_int_equal(ppoll_fault.times, 0);
}

/* Signals do not end the wait: systemd may send SIGTERM again. */
static void test_barrier_interrupted(void **state) {
        const pid_t pid = process_fork(wait_interrupted, NULL);

        (void)state;
        manager_expect_barrier(&manager);
        process_wait_exit(pid, 0);
}

static void be_alone(void *data) {
        (void)data;
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(fdstore_put(FDSTORE_LEDGER, 1, STDERR_FILENO), -ENOTCONN);
        assert_int_equal(fdstore_barrier(), -ENOTCONN);
        fdstore_remove("a name");
        assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
        assert_int_equal(fdstore_put(FDSTORE_LEDGER, 1, STDERR_FILENO), -ENOENT);
        assert_int_equal(fdstore_barrier(), -ENOENT);
}

/* Without a manager, or one that has gone, nothing counts as stored. */
static void test_no_manager(void **state) {
        (void)state;
        process_run(be_alone, NULL);
}

static void read_limit(void *data) {
        (void)data;
        assert_int_equal(unsetenv("FDSTORE"), 0);
        assert_true(fdstore_limit() == UINT64_MAX);
        assert_int_equal(setenv("FDSTORE", "4711", 1), 0);
        assert_true(fdstore_limit() == 4711);
        assert_int_equal(setenv("FDSTORE", "0", 1), 0);
        assert_true(fdstore_limit() == 0);
        assert_int_equal(setenv("FDSTORE", "many", 1), 0);
        assert_true(fdstore_limit() == UINT64_MAX);
        assert_int_equal(setenv("FDSTORE", "", 1), 0);
        assert_true(fdstore_limit() == UINT64_MAX);
}

/* The store's size is what systemd says; unknown when it says nothing, or no number. */
static void test_limit(void **state) {
        (void)state;
        process_run(read_limit, NULL);
}

static void wait_without_room(void *unused) {
        const int next = dup(STDIN_FILENO);

        (void)unused;
        close(next);
        for (rlim_t room = 0; room < 3; room++) {
                process_set_limit(RLIMIT_NOFILE, (rlim_t)next + room);
                assert_int_equal(fdstore_barrier(), -EMFILE);
        }
        assert_int_equal(dup(STDIN_FILENO), next);
}

/* Without descriptors there is no waiting, and none stays open. */
static void test_barrier_no_room(void **state) {
        (void)state;
        process_run(wait_without_room, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_put, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_put_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_remove, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_remove_full, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_barrier, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_barrier_not_passed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_barrier_interrupted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_barrier_no_room, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_manager, set_up, tear_down),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_names),
                cmocka_unit_test_setup_teardown(test_many_names, set_up, tear_down),
                cmocka_unit_test(test_strangers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
