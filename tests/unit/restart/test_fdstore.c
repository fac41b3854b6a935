/* SPDX-License-Identifier: MIT */
/* systemd's file descriptor store: what is sent there. */

#include "restart/fdstore.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static ino_t file_of(int fd) {
        struct stat status;

        assert_int_equal(fstat(fd, &status), 0);
        return status.st_ino;
}

/* One descriptor, some, and as many as a message can hold are sent in one message, in order, by
 * name, and stay the caller's. */
static void test_put(void **state) {
        static const size_t numbers[] = { 1, 2, STORE_MOST };
        int pair[2], fds[STORE_MOST];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        for (size_t i = 0; i < STORE_MOST; i++)
                fds[i] = pair[i % 2];
        for (size_t i = 0; i < COUNT(numbers); i++) {
                assert_int_equal(store_put("a name", fds, numbers[i]), 0);
                manager_expect_stored(&manager, "a name", numbers[i]);
                for (size_t j = 0; j < numbers[i]; j++)
                        assert_int_equal(file_of(manager.fds[j]), file_of(fds[j]));
        }
        close(pair[0]);
        close(pair[1]);
}

/* The names that mpecho stores by are known, and no others. */
static void test_names(void **state) {
        (void)state;
        assert_true(store_has_name(STORE_CONNECTION));
        assert_true(store_has_name(STORE_PENDING));
        assert_true(store_has_name(STORE_ROSTER));
        assert_true(store_has_name(STORE_ROSTER_OTHER));
        assert_false(store_has_name("mpecho-"));
        assert_false(store_has_name("mpecho-rosters"));
        assert_false(store_has_name(""));
        assert_false(store_has_name(NULL));
}

/* What is removed is named. */
static void test_remove(void **state) {
        (void)state;
        store_remove(STORE_ROSTER);
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=mpecho-roster", 0);
}

static void wait_at_barrier(void *data) {
        (void)data;
        assert_int_equal(store_barrier(), 0);
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

static void be_alone(void *data) {
        (void)data;
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(store_put("a name", &(int){ STDERR_FILENO }, 1), -ENOTCONN);
        assert_int_equal(store_barrier(), -ENOTCONN);
        store_remove("a name");
        assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
        assert_int_equal(store_put("a name", &(int){ STDERR_FILENO }, 1), -ENOENT);
        assert_int_equal(store_barrier(), -ENOENT);
}

/* Without a manager, or one that has gone, nothing counts as stored. */
static void test_no_manager(void **state) {
        (void)state;
        process_run(be_alone, NULL);
}

static void read_limit(void *data) {
        (void)data;
        assert_int_equal(unsetenv("FDSTORE"), 0);
        assert_true(store_limit() == UINT64_MAX);
        assert_int_equal(setenv("FDSTORE", "4711", 1), 0);
        assert_true(store_limit() == 4711);
        assert_int_equal(setenv("FDSTORE", "0", 1), 0);
        assert_true(store_limit() == 0);
        assert_int_equal(setenv("FDSTORE", "many", 1), 0);
        assert_true(store_limit() == UINT64_MAX);
        assert_int_equal(setenv("FDSTORE", "", 1), 0);
        assert_true(store_limit() == UINT64_MAX);
}

/* The store's size is what systemd says; unknown when it says nothing, or no number. */
static void test_limit(void **state) {
        (void)state;
        process_run(read_limit, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_put, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_remove, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_barrier, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_manager, set_up, tear_down),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
