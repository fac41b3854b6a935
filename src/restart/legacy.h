/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Unsent bytes as mpecho 0.1.0 stored them. */

/* legacy_is_unsent: Returns whether the stored descriptor @fd can hold such bytes. */
bool legacy_is_unsent(int fd);

/*
 * legacy_find_unsent: Looks in the stored descriptor @fd for the bytes of the connection @cookie
 * (SO_COOKIE, socket(7)).
 *
 * Returns a memfd with them (unsent.h), which the caller closes; -ENOENT when there are none, or
 * another negative errno when they cannot be read, or may be where nothing can be read.
 */
int legacy_find_unsent(int fd, uint64_t cookie);
