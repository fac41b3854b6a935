/* SPDX-License-Identifier: MIT */
/* The gate between a master and its handler. */

#include "handler/gate.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static Gate gate;

static void wait_behind(void *unused) {
        (void)unused;
        /* The end is not waited for again, whatever a signal has interrupted before. */
        errno = EINTR;
        gate_wait(&gate);
}

/* Waits until @pid sleeps, and has not ended. */
static void expect_waiting(pid_t pid) {
        process_wait_asleep(pid);
        assert_string_equal(process_status(pid, "State"), "S (sleeping)");
}

/* A handler waits until its gate is open, and nothing of the gate is left in the master. */
static void test_open(void **state) {
        const int lowest = dup(STDIN_FILENO);
        int next;
        pid_t pid;

        (void)state;
        close(lowest);
        assert_int_equal(gate_init(&gate, true), 0);
        pid = process_fork(wait_behind, NULL);
        expect_waiting(pid);
        gate_open(&gate, dup(STDIN_FILENO));
        process_wait_exit(pid, 0);
        next = dup(STDIN_FILENO);
        close(next);
        assert_int_equal(next, lowest);
}

static void leave(void *result) {
        pid_t pid;

        assert_int_equal(gate_init(&gate, true), 0);
        pid = fork();
        if (pid == 0) {
                gate_wait(&gate);
                (void)!write(*(const int *)result, "x", 1);
                _exit(0);
        }
        assert_true(pid > 0);
        expect_waiting(pid);
}

/* A handler whose master has died goes on. */
static void test_no_master(void **state) {
        char seen = '\0';
        int ends[2];

        (void)state;
        assert_int_equal(pipe(ends), 0);
        process_run(leave, &ends[1]);
        close(ends[1]);
        assert_int_equal(read(ends[0], &seen, 1), 1);
        close(ends[0]);
}

/* The handler of another client does not wait. */
static void test_network(void **state) {
        const int lowest = dup(STDIN_FILENO);
        int next;

        (void)state;
        assert_int_equal(gate_init(&gate, false), 0);
        process_wait_exit(process_fork(wait_behind, NULL), 0);
        gate_open(&gate, lowest);
        assert_int_equal(gate_init(&gate, false), 0);
        gate_open(&gate, -1);
        next = dup(STDIN_FILENO);
        close(next);
        assert_int_equal(next, lowest);
}

/* Without descriptors there is no gate for a local client, and another one needs none. */
static void lack_room(void *unused) {
        const int next = dup(STDIN_FILENO);

        (void)unused;
        process_set_limit(RLIMIT_NOFILE, (rlim_t)next + 2);
        assert_int_equal(gate_init(&gate, true), -EMFILE);
        assert_int_equal(gate_init(&gate, false), 0);
}

static void test_lack(void **state) {
        (void)state;
        process_run(lack_room, NULL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_open),
                cmocka_unit_test(test_network),
                cmocka_unit_test(test_no_master),
                cmocka_unit_test(test_lack),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
