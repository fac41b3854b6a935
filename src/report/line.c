/* SPDX-License-Identifier: MIT */
/*
 * A text that grows in the caller's memory: records and metrics are written piece by piece.
 *
 * The master allocates no memory after its start, so the caller brings a buffer for the longest
 * text. A longer one is cut at the end of the buffer, and stays a string. Callers need no check
 * after each piece for that reason.
 *
 * Nothing here may write beyond the buffer, or allocate memory.
 */
#include "report/line.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void line_add(Line *line, const char *format, ...) {
        const size_t room = line->size - line->length;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(line->text + line->length, room, format, arguments);
        va_end(arguments);
        assert(n >= 0);
        line->length += (size_t)n < room ? (size_t)n : room - 1;
}
