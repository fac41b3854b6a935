/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * With the address sanitizer, which keeps an eye on one stack, there is no other one.
 */
#ifdef __SANITIZE_ADDRESS__
#define STACK_IS_OWN false
#else
#define STACK_IS_OWN true
#endif

/*
 * stack_run: runs @function(@data) on another stack, and returns when it does. The calling process
 * has one thread.
 *
 * Of the pages that a parent and a child both write to one is copied, and a page of a stack always
 * is. On @stack that page may as well hold what else a child writes. (makecontext(3))
 *
 * @stack: memory of @size bytes that begins on a page; the stack grows down from its end, which
 * need not be that of a page. Its first page becomes a guard: who runs out of stack gets SIGSEGV.
 * @inherited: whether children have the stack that this is called on. Without it theirs is a
 * smaller address space to copy and to tear down, by a page at most levels of the page table; but
 * they must not touch what is there: what the caller has in its frames, argv, the strings of the
 * environment. (MADV_DONTFORK, madvise(2))
 *
 * Where the kernel cannot do that, forks only cost more.
 */
void stack_run(void *stack, size_t size, bool inherited, void (*function)(void *data), void *data);
