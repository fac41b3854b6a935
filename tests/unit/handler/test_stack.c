/* SPDX-License-Identifier: MIT */
/* Another stack, of which forked processes have what they need. */

#include "handler/stack.h"

#include <errno.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

enum {
        PAGE = 4096,
        PAGES = 16,
        SIZE = PAGES * PAGE + PAGE / 2, /* its last page has something else as well */
        DEEP = 8 * PAGE,
};

static alignas(PAGE) struct {
        char stack[SIZE];
        char behind[PAGE / 2];
} memory;

static char *callers;  /* something in the frames of who runs another stack */
static bool inherited; /* whether children have it */

static void is_mapped(char *address, bool mapped) {
        char *page = address - (uintptr_t)address % PAGE;
        unsigned char resident;

        errno = 0;
        assert_int_equal(mincore(page, 1, &resident), mapped ? 0 : -1);
        assert_int_equal(errno, mapped ? 0 : ENOMEM);
}

static void run(bool inherit, void (*function)(void *), void *data) {
        char here;

        callers = &here;
        inherited = inherit;
        stack_run(memory.stack, sizeof memory.stack, inherit, function, data);
        inherited = true;
}

/* Runs @function in a child, which has to kill itself then: at an exit a leak checker would not
 * find what only the caller's stack points to. */
static void run_child(void (*function)(void *data), void *data) {
        assert_int_equal(WTERMSIG(process_wait(process_fork(function, data))), SIGKILL);
}

static __attribute__((noinline)) void go_deep(int fill) {
        volatile char frame[DEEP];

        for (size_t i = 0; i < sizeof frame; i++)
                frame[i] = (char)fill;
        assert_true((char *)frame > memory.stack && (char *)frame < memory.stack + SIZE);
}

static void note(void *data) {
        char here;

        if (STACK_IS_OWN)
                assert_true(&here > memory.stack && &here < memory.stack + sizeof memory.stack);
        (*(int *)data)++;
}

/* The function runs there with its data, as often as it is asked to, and the caller goes on. */
static void test_runs(void **state) {
        int runs = 0;

        (void)state;
        run(true, note, &runs);
        run(false, note, &runs);
        assert_int_equal(runs, 2);
}

static void look_at_copy(void *data) {
        assert_int_equal(*(int *)data, 7);
        assert_int_equal(memory.behind[0], 8);
        is_mapped(memory.stack, false);
        go_deep(9);
        *(int *)data = 10;
        (void)raise(SIGKILL);
}

static void fork_deep(void *unused) {
        int local = 7;

        (void)unused;
        go_deep(1);
        memory.behind[0] = 8;
        run_child(look_at_copy, &local);
        assert_int_equal(local, 7);
        go_deep(1);
}

/* A child has copies of the frames in use and of what is behind the stack, and room below. The
 * parent keeps what it has. */
static void test_child(void **state) {
        (void)state;
        if (!STACK_IS_OWN)
                skip();
        run(true, fork_deep, NULL);
        run(false, fork_deep, NULL);
}

static void expect_callers(void *unused) {
        (void)unused;
        is_mapped(callers, inherited);
        (void)raise(SIGKILL);
}

static void fork_to_look(void *unused) {
        (void)unused;
        run_child(expect_callers, NULL);
        is_mapped(callers, true);
}

/* A child has the stack of the caller only where that is wanted; afterwards, again. */
static void test_inherited(void **state) {
        (void)state;
        if (!STACK_IS_OWN)
                skip();
        run(false, fork_to_look, NULL);
        fork_to_look(NULL);
        run(true, fork_to_look, NULL);
        fork_to_look(NULL);
}

static void overflow(void *data) {
        (void)data;
        /* Not cmocka's handler. */
        (void)signal(SIGSEGV, SIG_DFL);
        memory.stack[PAGE - 1] = 1;
}

static void overflow_in_child(void *data) {
        pid_t *pid = data;

        *pid = process_fork(overflow, NULL);
        assert_int_equal(WTERMSIG(process_wait(*pid)), SIGSEGV);
}

static void overflow_there(void *data) {
        run(false, overflow, data);
}

static void expect_ones(void *unused) {
        (void)unused;
        for (size_t i = 0; i < PAGE; i++)
                assert_int_equal(memory.stack[i], 1);
        memory.stack[0] = 2;
}

/* Who runs out of it gets SIGSEGV, the parent as well as a child; afterwards its first page is
 * memory like any other, for both. */
static void test_guard(void **state) {
        pid_t pid;

        (void)state;
        if (!STACK_IS_OWN)
                skip();
        pid = process_fork(overflow_there, NULL);
        assert_int_equal(WTERMSIG(process_wait(pid)), SIGSEGV);
        run(true, overflow_in_child, &pid);
        memset(memory.stack, 1, PAGE);
        process_run(expect_ones, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_runs),
                cmocka_unit_test(test_child),
                cmocka_unit_test(test_inherited),
                cmocka_unit_test(test_guard),
        };

        /* Its strings are on the first stack, and process_fork() sets some. */
        (void)clearenv();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
