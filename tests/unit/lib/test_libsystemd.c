/* SPDX-License-Identifier: MIT */
/* libsystemd, loaded while it is needed. */

#include "lib/libsystemd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static bool is_mapped(const char *library) {
        char line[4096];
        bool found = false;
        FILE *maps = fopen("/proc/self/maps", "re");

        assert_non_null(maps);
        while (fgets(line, sizeof line, maps) != NULL)
                found = found || strstr(line, library) != NULL;
        (void)fclose(maps);
        return found;
}

static void ask(void *data) {
        int pair[2];
        uint64_t usec = 0;
        char **names;

        (void)data;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_true(libsystemd_is_socket(pair[0], AF_UNIX, SOCK_STREAM, 0) > 0);
        assert_int_equal(libsystemd_is_socket(pair[0], AF_UNIX, SOCK_DGRAM, 0), 0);
        assert_true(is_mapped("/libsystemd.so"));
        assert_int_equal(setenv("WATCHDOG_USEC", "4711", 1), 0);
        assert_true(libsystemd_watchdog_enabled(true, &usec) > 0);
        assert_int_equal(usec, 4711);
        assert_int_equal(libsystemd_watchdog_enabled(false, &usec), 0);
        assert_int_equal(libsystemd_listen_fds_with_names(false, &names), 0);
        assert_int_equal(setenv("LISTEN_FDS", "many", 1), 0);
        assert_int_equal(libsystemd_listen_fds(true), 0);
        libsystemd_unload();
        assert_false(is_mapped("/libsystemd.so"));
        libsystemd_unload();
        assert_true(libsystemd_is_socket(pair[1], AF_UNIX, SOCK_STREAM, 0) > 0);
}

/* What is asked is answered as libsystemd does; unloaded, nothing is left of it, and it can be
 * loaded again. */
static void test_functions(void **state) {
        (void)state;
        process_run(ask, NULL);
}

static void ask_without_descriptors(void *data) {
        (void)data;
        /* The limit may be a thousand million, which takes minutes and memory to use up. */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 64, 64 }), 0);
        while (dup(STDERR_FILENO) >= 0)
                ;
        assert_int_equal(libsystemd_listen_fds(false), -ELIBACC);
        assert_int_equal(libsystemd_is_socket(STDIN_FILENO, AF_UNIX, SOCK_STREAM, 0), -ELIBACC);
}

/* A library that cannot be loaded is an error. */
static void test_missing(void **state) {
        (void)state;
        process_run(ask_without_descriptors, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_functions),
                                            cmocka_unit_test(test_missing) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
