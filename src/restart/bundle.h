/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "restart/fdstore.h"

/*
 * Many descriptors in one: the end of a socket pair (unix(7)) whose other end has sent a message
 * with them, and is closed.
 *
 * systemd compares every descriptor that it stores with all that it has. Ten thousand one by one
 * would keep it busy for longer than a service may take to stop; in packs they are forty.
 */

/*
 * pack_new: a pack with copies of the @n descriptors @fds, 1 to STORE_MOST.
 *
 * Returns its descriptor, the caller's to close; or a negative errno.
 */
int pack_new(const int *fds, size_t n);

/*
 * pack_open: copies of what is in @pack, where it all stays: nothing of it is closed while anybody
 * has the pack.
 *
 * Returns how many there are and sets as many of @ret_fds, which are the caller's; or a negative
 * errno: -EAGAIN or -EBADMSG when @pack is a socket and no pack.
 */
int pack_open(int pack, int ret_fds[static STORE_MOST]);
