/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * Forking a process that is to cost little, from a process with one thread.
 *
 * A child pays for each page of data that it or its parent writes while both have it, which is
 * copied, and for each page of code that it is the first to run, which is mapped: about as much as
 * for ten system calls each. So what is here has the kernel and the C library write to no page that
 * the child has no use for, and keeps away from code that is not beside what it runs anyway.
 */

/*
 * child_prepare: called once by the parent, before the first fork. Ends the thread's restartable
 * sequences (rseq(2)), to whose area the kernel writes whenever the process is scheduled; neither
 * this program nor the C library has any.
 */
void child_prepare(void);

/*
 * child_fork: as fork(2), but for the handlers of pthread_atfork(3), which are not called, and for
 * gettid(2)'s being unknown to the child's pthread functions, which it must not call.
 *
 * Returns the child's process ID in the parent and 0 in the child; or a negative errno.
 */
pid_t child_fork(void);

/*
 * child_unblock_signals: lets all signals through, as sigprocmask(2).
 */
void child_unblock_signals(void);

/*
 * child_exit: as _exit(2).
 */
_Noreturn void child_exit(int code);
