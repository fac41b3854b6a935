/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a handler has read and its peer does not take, on its way to the next handler: a memfd with
 * the connection's cookie (SO_COOKIE, socket(7)) in 8 bytes, and then the data.
 */

/*
 * pending_new: a memfd with the @size bytes of @data that are still to be written to @connection.
 *
 * Returns its descriptor, the caller's to close; or a negative errno.
 */
int pending_new(int connection, const char *data, size_t size);

/*
 * pending_read: reads back what pending_new() put into the memfd @fd.
 *
 * @buffer, @size: where the data goes; more is not taken. With NULL, only the cookie is read.
 *
 * Returns the number of bytes and sets @ret_cookie; or a negative errno: -EBADMSG when it is not
 * such a memfd.
 */
ssize_t pending_read(int fd, char *buffer, size_t size, uint64_t *ret_cookie);
