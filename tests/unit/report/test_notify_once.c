/* SPDX-License-Identifier: MIT */
/* Single messages to the service manager, with descriptors. */

#include "report/notify.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handler/confine.h"
#include "manager.h"
#include "process.h"
#include "unit.h"

static Manager manager;

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

/* A message arrives with its descriptors, or without any. */
static void test_send(void **state) {
        const int fds[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };

        (void)state;
        assert_int_equal(notify_once("A=1\nB=2", fds, COUNT(fds), 0), 0);
        manager_expect(&manager, "A=1\nB=2", COUNT(fds));
        assert_int_equal(notify_once("C=3", NULL, 0, MSG_DONTWAIT), 0);
        manager_expect(&manager, "C=3", 0);
}

/* However many messages there are, the process has one descriptor for them, until it closes that.
 */
static void test_one_descriptor(void **state) {
        const int before = dup(STDIN_FILENO);
        int after;

        (void)state;
        close(before);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(notify_once("A=1", NULL, 0, 0), 0);
                manager_expect(&manager, "A=1", 0);
                after = dup(STDIN_FILENO);
                close(after);
                assert_int_equal(after, before + 1);
        }
        assert_int_equal(notify_open(), 0);
        notify_close();
        notify_close();
        after = dup(STDIN_FILENO);
        close(after);
        assert_int_equal(after, before);
}

static void send_in_sandbox(void *data) {
        struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        const struct sock_fprog program = { .len = 1, .filter = &allow };
        const bool opens = *(const bool *)data;

        if (opens)
                assert_int_equal(notify_open(), 0);
        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
        confine_children(0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(notify_once("A=1", NULL, 0, 0), opens ? 0 : -EPERM);
}

/* In the sandbox a process sends over the descriptor that it has, and gets none. */
static void test_sandbox(void **state) {
        (void)state;
#ifndef SYS_socketcall
        process_run(send_in_sandbox, &(bool){ false });
        manager_expect_none(&manager);
#endif
        process_run(send_in_sandbox, &(bool){ true });
        for (int i = 0; i < 3; i++)
                manager_expect(&manager, "A=1", 0);
}

static void fill(void *data) {
        int r;

        (void)data;
        do
                r = notify_once("X=1", NULL, 0, MSG_DONTWAIT);
        while (r == 0);
        assert_int_equal(r, -EAGAIN);
}

/* When the manager does not read there is no waiting for it, if so wished. */
static void test_full(void **state) {
        (void)state;
        process_run(fill, NULL);
        while (recv(manager.fd, &(char){ 0 }, 1, MSG_DONTWAIT) > 0)
                ;
}

static void be_alone(void *data) {
        (void)data;
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(notify_once("X=1", NULL, 0, 0), -ENOTCONN);
        assert_int_equal(setenv("NOTIFY_SOCKET", "neither path nor name", 1), 0);
        assert_int_equal(notify_once("X=1", NULL, 0, 0), -ENOTCONN);
        assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
        assert_int_equal(notify_once("X=1", NULL, 0, 0), -ENOENT);
}

/* Without a manager, or one that has gone, that is said. */
static void test_no_manager(void **state) {
        (void)state;
        process_run(be_alone, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_send, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_one_descriptor, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_sandbox, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_manager, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
