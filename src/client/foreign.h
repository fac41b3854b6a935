/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        /* Room for foreign_describe(). */
        FOREIGN_TEXT_SIZE = 128,
};

/*
 * foreign_describe: whether the @size bytes @answer, which came back instead of the first bytes of
 * @message, are text of a service of another kind: a greeting, an error page.
 *
 * If so writes half a sentence with its first line to @text, else leaves it alone. @message must
 * have as many bytes.
 */
bool foreign_describe(const void *answer, const void *message, size_t size,
                      char text[static FOREIGN_TEXT_SIZE]);
