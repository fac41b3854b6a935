/* SPDX-License-Identifier: MIT */
/*
 * A text in the caller's memory, for what the service writes and allocates nothing for. A text that
 * does not fit is cut: nothing here may write beyond its end.
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
