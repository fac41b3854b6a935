/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/fdpass.h"

/*
 * Many descriptors in one: the end of a socket pair (unix(7)) whose other end has sent one message
 * with them, and is closed. The order of the descriptors stays.
 *
 * systemd compares each descriptor that it stores with all that it has, so ten thousand of them one
 * by one would keep it busy for longer than a service may take to stop. In bundles they are eighty.
 */

enum {
        /* The most descriptors in a bundle. */
        BUNDLE_MOST = FDPASS_MOST,
};

/*
 * bundle_new: Creates a bundle with duplicates of the @n descriptors @fds, 1 to BUNDLE_MOST.
 *
 * Returns its descriptor, which the caller closes; or a negative errno.
 */
int bundle_new(const int *fds, size_t n);

/*
 * bundle_open: Duplicates the descriptors in @bundle, in their order. They also stay in the bundle.
 *
 * Returns how many there are and sets as many of @ret_fds, which the caller closes; or a negative
 * errno: -ENOTSOCK or -EBADMSG when @bundle is not a bundle, -EMFILE when the process has no room
 * for all of them.
 */
int bundle_open(int bundle, int ret_fds[static BUNDLE_MOST]);
