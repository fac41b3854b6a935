/* SPDX-License-Identifier: MIT */
/* The title that ps(1) shows, in a process of its own that was started with a known command line
 * and environment. */

#include "handler/proctitle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static char *program;

/* What the kernel tells of this process. Returns the length. */
static size_t read_title(char *title, size_t size) {
        int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
        ssize_t n;

        assert_true(fd >= 0);
        n = read(fd, title, size);
        assert_true(n >= 0);
        close(fd);
        return (size_t)n;
}

static void expect_title(const char *expected) {
        char title[4096] = "";
        size_t length = read_title(title, sizeof title - 1);

        if (strcmp(title, expected) != 0)
                fail_msg("the title is '%s', not '%s'", title, expected);
        /* What is behind it is empty. */
        for (size_t i = strlen(title); i < length; i++)
                assert_int_equal(title[i], '\0');
}

/* Has titles, short and long ones, and one that is too long. */
static void set_titles(void *data) {
        char longest[4096] = "mpecho: ";

        (void)data;
        assert_string_equal(getenv("FIRST"), "one");
        assert_string_equal(getenv("LAST"), "two");
        proctitle_set("mpecho: a");
        expect_title("mpecho: a");
        proctitle_set("mpecho: [1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:51234");
        expect_title("mpecho: [1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:51234");
        assert_string_equal(getenv("FIRST"), "one");
        proctitle_set("m");
        expect_title("m");
        memset(longest + 8, 'x', sizeof longest - 9);
        proctitle_set(longest);
        assert_string_equal(getenv("FIRST"), "one");
        assert_string_equal(getenv("LAST"), "two");
        assert_int_equal(setenv("LAST", "three", 1), 0);
        assert_string_equal(getenv("LAST"), "three");
        proctitle_set("");
        expect_title("");
}

/* As main() of the program that was started. */
static void be_program(int argc, char **argv) {
        char before[4096], after[4096];
        size_t length = read_title(before, sizeof before);

        proctitle_set("without proctitle_init() nothing happens");
        assert_int_equal(proctitle_init(argc, argv), 0);
        assert_int_equal(read_title(after, sizeof after), length);
        assert_memory_equal(after, before, length);
        set_titles(NULL);
}

static void start_anew(void *data) {
        /* Room for the longest title that there is. */
        static char middle[160] = "MIDDLE=";
        char *const environment[] = { "FIRST=one", middle, "CMOCKA_TEST_ABORT=1", "LAST=two",
                                      NULL };

        memset(middle + strlen(middle), 'x', sizeof middle - strlen(middle) - 1);
        (void)execve(program, data, environment);
        fail_msg("cannot start %s", program);
}

/* A title longer or shorter than the command line is shown whole, with nothing behind it of the
 * title before or of the command line; the environment stays as it was. */
static void test_set(void **state) {
        char *const few[] = { "t", "--in-child", NULL };
        char *const many[] = { "title",
                               "--in-child",
                               "an argument",
                               "",
                               "another argument",
                               "an argument that is longer than any title of a handler can ever be",
                               NULL };

        (void)state;
        process_run(start_anew, (void *)few);
        process_run(start_anew, (void *)many);
}

static void init_without_arguments(void *data) {
        char *argv[] = { NULL };

        (void)data;
        assert_int_equal(proctitle_init(0, argv), 0);
        proctitle_set("mpecho: a");
}

/* Without a command line there is no title, and no harm. */
static void test_none(void **state) {
        (void)state;
        process_run(init_without_arguments, NULL);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_none),
        };

        program = argv[0];
        if (argc > 1 && strcmp(argv[1], "--in-child") == 0) {
                be_program(argc, argv);
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
