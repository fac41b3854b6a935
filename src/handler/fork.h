/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/* Forks handlers cheaply, from a process with one thread. See fork.c for the reasons and the price
 * of each trick. */

/* fork_prepare: Makes the forks that follow cheap. Call once in the parent, before the first fork.
 * From then on children must not call libsystemd or malloc(3), nor use restartable sequences
 * (rseq(2)). Where the kernel refuses, forks only cost more. */
void fork_prepare(void);

/*
 * fork_child: Forks as fork(2) does, but runs no handler of pthread_atfork(3). Before the child
 * runs, the kernel writes its process ID to @noted (CLONE_PARENT_SETTID, clone(2)), unless that is
 * NULL: a parent that is killed meanwhile has noted it. The child must not call functions that need
 * its thread ID (gettid(2)) from the C library. From then on a child of fork(2) itself may find
 * zeros instead of the stack that its caller is on.
 *
 * Returns the child's process ID in the parent and 0 in the child; or a negative errno of clone(2):
 * -EAGAIN, -ENOMEM.
 */
pid_t fork_child(pid_t *noted);

/* fork_unblock_signals: Unblocks all signals of the calling thread. */
void fork_unblock_signals(void);
