/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

enum {
        /* How long anything that a test waits for may take, on a machine that is busy. */
        PATIENCE_SECONDS = 120,
};

/*
 * process_fork: runs @function with @data in a child, where a failing assertion ends it by SIGABRT.
 * The child ends with status 0 when @function returns; it is killed when that takes five times as
 * long as a test waits for anything, or when the test ends first.
 *
 * Returns its pid, to be waited for.
 */
pid_t process_fork(void (*function)(void *data), void *data);

/*
 * process_wait: waits for the child @pid to end. Returns its status, as waitpid(2) tells it.
 */
int process_wait(pid_t pid);

/*
 * process_wait_exit: waits for the child @pid and asserts that it exits with @code.
 */
void process_wait_exit(pid_t pid, int code);

/*
 * process_run: process_fork() and process_wait_exit() with 0: for what changes the process it is
 * done in.
 */
void process_run(void (*function)(void *data), void *data);

/*
 * process_wait_asleep: waits until the child @pid sleeps in a system call, or has ended.
 */
void process_wait_asleep(pid_t pid);

/*
 * process_status: the value of @name in /proc/@pid/status, a static string.
 */
const char *process_status(pid_t pid, const char *name);

/*
 * process_count_descriptors: how many descriptors below 1024 this process has open.
 */
int process_count_descriptors(void);

/*
 * process_wait_ended: waits until the child @pid has ended, and leaves it to be reaped.
 */
void process_wait_ended(pid_t pid);

/*
 * process_set_limit: sets the limit of this process for @resource, one of setrlimit(2), to @limit,
 * or to the most that it may have.
 */
void process_set_limit(int resource, rlim_t limit);
