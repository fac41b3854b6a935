/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * mapping_new_unforked: Maps @size bytes of zeros that forked processes do not inherit
 * (MADV_DONTFORK, madvise(2)). Its pages are present from the start: later writes do not fault.
 *
 * mapping_new_shared: Maps @size bytes of zeros that forked processes share.
 *
 * Return the memory, which the caller frees with mapping_free(); or NULL with errno set.
 */
void *mapping_new_unforked(size_t size);
void *mapping_new_shared(size_t size);

/*
 * mapping_new_file: Creates an empty file in memory, named @name in /proc, that the caller can seal
 * and nobody can execute (memfd_create(2)).
 *
 * Returns its descriptor, which the caller closes; or a negative errno.
 */
int mapping_new_file(const char *name);

/* mapping_free: Unmaps @size bytes at @memory, which may be NULL. Returns NULL. */
void *mapping_free(void *memory, size_t size);
