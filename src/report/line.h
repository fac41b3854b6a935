/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* A text that grows up to @size bytes, with the terminating NUL, and is cut there. */
typedef struct Line {
        char *text;
        size_t size;
        size_t length;
} Line;

/* line_add: Adds to @line like printf(3). */
__attribute__((format(printf, 2, 3))) void line_add(Line *line, const char *format, ...);
