/* SPDX-License-Identifier: MIT */
/* What of the machine limits the number of connections. */

#include "start/resources.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fault.h"
#include "group.h"
#include "process.h"
#include "unit.h"

enum {
        NOBODY = 65534,
};

FAULT(int, getrlimit, getrlimit64, (__rlimit_resource_t resource, struct rlimit *limit),
      (resource, limit))

/* Sets the soft limit. Returns the hard one, which stays. */
static rlim_t set_limit(int resource, rlim_t soft) {
        struct rlimit limit = {};

        assert_int_equal(getrlimit(resource, &limit), 0);
        limit.rlim_cur = soft;
        assert_int_equal(setrlimit(resource, &limit), 0);
        return limit.rlim_max;
}

static void expect_limit(int resource, rlim_t both) {
        struct rlimit limit = {};

        assert_int_equal(getrlimit(resource, &limit), 0);
        assert_true(limit.rlim_cur == both);
        assert_true(limit.rlim_max == both);
}

static void raise_limits(void *data) {
        const rlim_t descriptors = set_limit(RLIMIT_NOFILE, 20);
        const rlim_t processes = set_limit(RLIMIT_NPROC, 30);

        (void)data;
        resources_raise();
        expect_limit(RLIMIT_NOFILE, descriptors);
        expect_limit(RLIMIT_NPROC, processes);
        resources_raise();
        expect_limit(RLIMIT_NOFILE, descriptors);
}

/* Soft limits become the hard ones, which stay. */
static void test_raise(void **state) {
        (void)state;
        process_run(raise_limits, NULL);
}

static void raise_unknown(void *unused) {
        const rlim_t descriptors = set_limit(RLIMIT_NOFILE, 20);
        const rlim_t processes = set_limit(RLIMIT_NPROC, 30);

        (void)unused;
        getrlimit_fault = (CallFault){ .error = EPERM, .times = 1 };
        resources_raise();
        assert_true(set_limit(RLIMIT_NOFILE, 20) == descriptors);
        expect_limit(RLIMIT_NPROC, processes);
        getrlimit_fault = (CallFault){ .error = EPERM, .times = 1 };
        assert_string_not_equal(resources_scarcest().name, "RLIMIT_NOFILE");
        (void)set_limit(RLIMIT_NOFILE, 20);
        assert_string_equal(resources_scarcest().name, "RLIMIT_NOFILE");
}

/* A limit that the kernel does not return stays as it is, and limits nothing. */
static void test_unknown(void **state) {
        (void)state;
        process_run(raise_unknown, NULL);
}

static void lower_descriptors(void *data) {
        Resource resource;

        (void)data;
        (void)set_limit(RLIMIT_NOFILE, 11);
        resource = resources_scarcest();
        assert_string_equal(resource.name, "RLIMIT_NOFILE");
        assert_int_equal(resource.limit, 11);
}

static void lower_processes(void *data) {
        Resource resource;

        (void)data;
        (void)set_limit(RLIMIT_NPROC, 9);
        resource = resources_scarcest();
        if (getuid() == 0) {
                assert_string_not_equal(resource.name, "RLIMIT_NPROC");
                assert_int_equal(setuid(NOBODY), 0);
                resource = resources_scarcest();
        }
        assert_string_equal(resource.name, "RLIMIT_NPROC");
        assert_int_equal(resource.limit, 9);
}

static void lower_both(void *data) {
        (void)set_limit(RLIMIT_NOFILE, 10);
        lower_processes(data);
}

/* The lowest limit counts, by its name; that on processes does not bind root. */
static void test_scarcest(void **state) {
        (void)state;
        process_run(lower_descriptors, NULL);
        process_run(lower_processes, NULL);
        process_run(lower_both, NULL);
}

static void compare_with_own(void *data) {
        struct rlimit limit = {};
        Resource resource;

        (void)data;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        resource = resources_scarcest();
        assert_true(resource.limit <= limit.rlim_cur);
        assert_true(resource.limit > 0);
}

/* No limit is more than what this process has now. */
static void test_own(void **state) {
        (void)state;
        process_run(compare_with_own, NULL);
}

/* The limit on tasks is that of the control group; "max" is none. */
static void test_tasks(void **state) {
        Resource resource;

        (void)state;
        group_write("pids.max", "7\n");
        resource = resources_scarcest();
        assert_string_equal(resource.name, "pids.max");
        assert_int_equal(resource.limit, 7);
        group_write("pids.max", "max\n");
        assert_string_not_equal(resources_scarcest().name, "pids.max");
        group_clear();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tasks),    cmocka_unit_test(test_raise),
                cmocka_unit_test(test_scarcest), cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
