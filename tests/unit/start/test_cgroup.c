/* SPDX-License-Identifier: MIT */
/* Numbers of the control group of this process. */

#include "start/cgroup.h"

#include "group.h"
#include "unit.h"

static void expect(const char *text, uint64_t number) {
        int fd;

        group_write("pids.max", text);
        fd = cgroup_open("pids.max");
        assert_true(fd >= 0);
        assert_true(cgroup_read(fd) == number);
        close(fd);
}

/* A file has a number, or "max" for none. What is no number is none either. */
static void test_read(void **state) {
        (void)state;
        expect("7\n", 7);
        expect("0\n", 0);
        expect("8", 8);
        expect("18446744073709551614\n", UINT64_MAX - 1);
        expect("18446744073709551616\n", UINT64_MAX);
        expect("max\n", UINT64_MAX);
        expect("7 8\n", UINT64_MAX);
        expect("", UINT64_MAX);
        assert_true(cgroup_read(-1) == UINT64_MAX);
        group_clear();
}

/* An open file has the number of now. */
static void test_read_again(void **state) {
        int fd;

        (void)state;
        group_write("memory.current", "1000\n");
        fd = cgroup_open("memory.current");
        for (int i = 0; i < 2; i++)
                assert_int_equal(cgroup_read(fd), 1000);
        group_write("memory.current", "9\n");
        assert_int_equal(cgroup_read(fd), 9);
        close(fd);
        group_clear();
}

/* A number of a file with several is that of a whole word at the start of a line. */
static void test_read_key(void **state) {
        int fd;

        (void)state;
        group_write("memory.stat", "anon 1\nfile_mapped 2\nfile 3\nlast 18446744073709551615\n");
        fd = cgroup_open("memory.stat");
        assert_int_equal(cgroup_read_key(fd, "anon"), 1);
        assert_int_equal(cgroup_read_key(fd, "file"), 3);
        assert_true(cgroup_read_key(fd, "last") == UINT64_MAX);
        assert_int_equal(cgroup_read_key(fd, "mapped"), 0);
        group_write("memory.stat", "anon 4");
        assert_int_equal(cgroup_read_key(fd, "anon"), 4);
        assert_int_equal(cgroup_read_key(fd, "file"), 0);
        close(fd);
        assert_int_equal(cgroup_read_key(-1, "anon"), 0);
        group_clear();
}

static void expect_path(const char *text, const char *path) {
        group.text = text;
        group.path[0] = '\0';
        assert_int_equal(cgroup_open("pids.max"), -ENOENT);
        assert_string_equal(group.path, path);
}

/* The group is that of the unified hierarchy, whatever the length of its name. */
static void test_path(void **state) {
        char text[1008];

        (void)state;
        expect_path("12:pids:/other\n0::/system.slice/mpecho.service\n",
                    "/sys/fs/cgroup/system.slice/mpecho.service/pids.max");
        expect_path("0::/\n", "/sys/fs/cgroup//pids.max");
        snprintf(text, sizeof text, "0::/%01000d\n", 0);
        group.text = text;
        assert_int_equal(cgroup_open("pids.max"), -ENOENT);
        assert_int_equal(strlen(group.path), strlen("/sys/fs/cgroup//pids.max") + 1000);
}

/* Without /proc, or without such a hierarchy, there is no group. */
static void test_none(void **state) {
        (void)state;
        group.text = NULL;
        assert_int_equal(cgroup_open("pids.max"), -ENOENT);
        group.text = "12:pids:/other\n";
        assert_int_equal(cgroup_open("pids.max"), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),     cmocka_unit_test(test_read_again),
                cmocka_unit_test(test_read_key), cmocka_unit_test(test_path),
                cmocka_unit_test(test_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
