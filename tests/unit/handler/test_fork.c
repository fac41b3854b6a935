/* SPDX-License-Identifier: MIT */
/* Forking a process that is to cost little: it is a child like any other. */

#include "handler/fork.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clone.h"
#include "process.h"
#include "unit.h"

enum {
        HAS_PARENT = 1,
        IS_ANOTHER = 2,
        BLOCKS_NOTHING = 4,
        /* More than two pages of any machine. */
        DEPTH = 160 * 1024,
};

/* Exits with what it has seen of itself. */
static _Noreturn void be_child(pid_t parent) {
        sigset_t blocked;
        int seen = 0;

        fork_unblock_signals();
        if (getppid() == parent)
                seen |= HAS_PARENT;
        if (getpid() != parent)
                seen |= IS_ANOTHER;
        if (sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && sigisemptyset(&blocked))
                seen |= BLOCKS_NOTHING;
        _exit(seen);
}

static void expect_child(void) {
        const pid_t parent = getpid();
        sigset_t all, before;
        pid_t pid;

        (void)sigfillset(&all);
        assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
        pid = fork_child(NULL);
        if (pid == 0)
                be_child(parent);
        assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
        process_wait_exit(pid, HAS_PARENT | IS_ANOTHER | BLOCKS_NOTHING);
}

/* Leaves something on the stack, far below its caller. Returns its address. */
static __attribute__((noinline)) uintptr_t leave(void) {
        volatile char area[DEPTH] = "192.0.2.7:51234";

        return (uintptr_t)area + (area[0] == '\0');
}

static __attribute__((noinline)) void fork_deeper(void) {
        volatile char area[DEPTH] = "192.0.2.7:51234";

        expect_child();
        assert_int_equal(area[0], '1');
}

/* Returns whether there is a page at @place; a fork copies no other. */
static bool is_resident(uintptr_t place) {
        unsigned char resident;

        /* NOLINTNEXTLINE(performance-no-int-to-ptr): a rounded address */
        assert_int_equal(mincore((void *)place, 1, &resident), 0);
        return resident & 1;
}

static void expect_empty(void) {
        const uintptr_t page = (uintptr_t)getpagesize(), place = leave() & ~(page - 1);
        pid_t pid;

        assert_true(is_resident(place));
        pid = fork_child(NULL);
        if (pid == 0)
                _exit(is_resident(place));
        process_wait_exit(pid, 0);
}

/* Another depth, and back. */
static void fork_at_depths(void *data) {
        (void)data;
        expect_empty();
        fork_deeper();
        expect_empty();
        fork_deeper();
}

/* A child inherits nothing that calls have left on the stack below its caller, but all that its
 * callers have, from whatever depth it is forked. */
static void test_stack(void **state) {
        (void)state;
        process_run(fork_at_depths, NULL);
}

static void prepare_and_fork(void *data) {
        static struct rseq area;

        (void)data;
        expect_child();
        fork_prepare();
        /* A thread has one area for restartable sequences: the kernel takes another one only if
         * that of the C library is gone. */
        if (__rseq_size > 0) {
                assert_int_equal(syscall(SYS_rseq, &area, sizeof area, 0, RSEQ_SIG), 0);
                assert_int_equal(syscall(SYS_rseq, &area, sizeof area, RSEQ_FLAG_UNREGISTER,
                                         RSEQ_SIG),
                                 0);
        }
        expect_child();
        fork_prepare();
        expect_child();
}

/* A child is a process of its own, whose parent learns of its end and its exit code, and in which
 * signals arrive that were blocked; whether it was prepared for, once or twice, or not. */
static void test_fork(void **state) {
        (void)state;
        process_run(prepare_and_fork, NULL);
}

static void fork_noted(void *noted) {
        _Atomic pid_t *shared = noted;
        const pid_t pid = fork_child((pid_t *)noted);

        if (pid == 0)
                _exit(*shared == getpid() ? 0 : 1);
        assert_int_equal(*shared, pid);
        process_wait_exit(pid, 0);
}

/* The process ID is noted before the child runs, so a parent that is killed has noted it. */
static void test_noted(void **state) {
        void *noted = mmap(NULL, sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);

        (void)state;
        assert_ptr_not_equal(noted, MAP_FAILED);
        for (int i = 0; i < 100; i++)
                process_run(fork_noted, noted);
        assert_int_equal(munmap(noted, sizeof(pid_t)), 0);
}

static void fork_in_vain(void *data) {
        (void)data;
        clone_fail(EAGAIN, 1);
        assert_int_equal(fork_child(NULL), -EAGAIN);
        clone_fail(ENOMEM, 1);
        assert_int_equal(fork_child(NULL), -ENOMEM);
}

/* A machine that is out of processes or memory is an error, not another try. */
static void test_failure(void **state) {
        (void)state;
        process_run(fork_in_vain, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fork),
                cmocka_unit_test(test_stack),
                cmocka_unit_test(test_noted),
                cmocka_unit_test(test_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
