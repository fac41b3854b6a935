/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Memory of the master, mapped once at its start.
 */

/*
 * memory_new_unforked: @size bytes of zeros that forked processes do not have: their address space
 * has a hole there.
 *
 * A fork neither copies its page tables nor makes its pages copy-on-write, so that it costs a fork
 * nothing however large it is, and no handler can read what the master knows of others' connections
 * (MADV_DONTFORK, madvise(2)).
 *
 * Returns the memory, which the caller gives back with memory_free(), or NULL with errno set.
 */
void *memory_new_unforked(size_t size);

/*
 * memory_new_shared: @size bytes of zeros that forked processes share, for reading and writing.
 *
 * Returns the memory, which the caller gives back with memory_free(), or NULL with errno set.
 */
void *memory_new_shared(size_t size);

/*
 * memory_new_file: Creates an empty file in memory, called @name in /proc, that can be sealed and
 * never executed (memfd_create(2)).
 *
 * Returns its descriptor, which the caller closes; or a negative errno.
 */
int memory_new_file(const char *name);

/*
 * memory_free: gives back @size bytes at @memory, which may be NULL. Returns NULL.
 */
void *memory_free(void *memory, size_t size);
