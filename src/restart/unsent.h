/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes that a handler has read and its peer has not accepted yet, on their way to the next
 * handler: a memfd (memfd_create(2)) that holds them and nothing else. It travels directly behind
 * its connection, in the same message and in the same bundle. */

/*
 * unsent_new: Creates a memfd with the @size bytes of @data.
 *
 * Returns its descriptor, which the caller closes; or a negative errno.
 */
int unsent_new(const char *data, size_t size);

/* unsent_is_file: Returns whether @fd can be such a memfd: it is a regular file. */
bool unsent_is_file(int fd);

/*
 * unsent_take: Reads the bytes of the memfd @fd into @buffer and empties it, so that no other
 * process writes them a second time.
 *
 * @size: of @buffer, in bytes.
 *
 * Returns the number of bytes, at least 1; or a negative errno, after which the stream has a hole:
 * -ENODATA when another process took them, -EFBIG when they do not fit, -EBADMSG when @fd is not a
 * memfd.
 */
ssize_t unsent_take(int fd, char *buffer, size_t size);
