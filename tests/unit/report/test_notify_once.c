/* SPDX-License-Identifier: MIT */
/* Single messages to the service manager, with descriptors. */

#include "report/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
                cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_manager, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
