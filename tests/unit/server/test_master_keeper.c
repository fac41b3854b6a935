/* SPDX-License-Identifier: MIT */
/* A master that has a keeper, as systemd stores connections; the test is systemd. */

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager.h"
#include "process.h"
#include "server/master.h"
#include "service.h"
#include "unit.h"

static const Options usual = { .max_connections = 10, .max_per_source = 5 };

static Service service;
static Manager manager;
static Restore restore;
static pid_t keeper; /* the child that fork(2) made last */
static int written;  /* bytes to pipes: the master has only that to its keeper */

/* In place of the C library's, which handlers do not call. */
pid_t fork(void) {
        static pid_t (*real)(void);
        pid_t pid;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "fork");
        pid = real();
        if (pid > 0)
                keeper = pid;
        return pid;
}

ssize_t write(int fd, const void *data, size_t size) {
        static ssize_t (*real)(int, const void *, size_t);
        struct stat file;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "write");
        if (fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode))
                written += (int)size;
        return real(fd, data, size);
}

static int set_up(void **state) {
        manager_start(&manager);
        return service_set_up(state);
}

static int tear_down(void **state) {
        manager_stop(&manager);
        return service_tear_down(state);
}

static void start(void) {
        keeper = 0;
        written = 0;
        assert_int_equal(restore_init(&restore, 1), 0);
        service.restore = &restore;
        service_start_master(&service, &usual);
        assert_true(keeper > 0);
        assert_int_equal(kill(keeper, 0), 0);
}

/* Whether the message to the manager comes that begins with @text, after others. */
static bool was_told(const char *text) {
        char told[256] = "";

        while (strncmp(told, text, strlen(text)) != 0) {
                const ssize_t n = recv(manager.fd, told, sizeof told - 1, MSG_DONTWAIT);

                if (n < 0)
                        return false;
                told[n] = '\0';
        }
        return true;
}

static void lose_keeper(void *unused) {
        (void)unused;
        start();
        assert_int_equal(kill(keeper, SIGKILL), 0);
        assert_int_equal(master_run(service.master), -ECHILD);
        service_expect(&service, RECORD_STARTED);
        service_expect(&service, RECORD_STOPPED);
        service_stop(&service);
        restore_deinit(&restore);
}

/* A master whose keeper is killed stops, and says why it has. */
static void test_lost(void **state) {
        (void)state;
        process_run(lose_keeper, NULL);
        assert_true(was_told("READY=1"));
        assert_true(was_told("STOPPING=1"));
        assert_false(was_told("FDSTORE"));
}

static void stop_with_keeper(void *unused) {
        (void)unused;
        start();
        assert_int_equal(kill(keeper, SIGTERM), 0);
        /* A second signal kills the handlers. */
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_int_equal(kill(getpid(), SIGINT), 0);
        assert_int_equal(written, 0);
        assert_int_equal(master_run(service.master), 0);
        service_expect(&service, RECORD_STARTED);
        service_expect(&service, RECORD_STOPPED);
        assert_int_equal(kill(keeper, 0), 0);
        assert_int_equal(written, 1);
        service.master = master_free(service.master);
        assert_int_equal(written, 2);
        assert_int_equal(kill(keeper, 0), -1);
        assert_int_equal(errno, ESRCH);
        service_stop(&service);
        restore_deinit(&restore);
}

/* A keeper learns of a stop once, outlives it, and ends with its master. */
static void test_stopped(void **state) {
        (void)state;
        process_run(stop_with_keeper, NULL);
        assert_true(was_told("STOPPING=1"));
        assert_false(was_told("FDSTORE"));
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_lost),
                TEST(test_stopped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
