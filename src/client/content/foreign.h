/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        /* Room for foreign_describe(). */
        FOREIGN_TEXT_SIZE = 128,
};

/*
 * foreign_describe: Recognizes the greeting or the error page of another service, and a header of
 * the PROXY protocol. @answer has @size bytes, received in place of the first @size bytes of
 * @message.
 *
 * Returns true and writes a phrase to @text, with the first line of another service; returns false
 * and leaves @text alone for anything else.
 */
bool foreign_describe(const void *answer, const void *message, size_t size,
                      char text[static FOREIGN_TEXT_SIZE]);
