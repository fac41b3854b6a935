/* SPDX-License-Identifier: MIT */
/*
 * Keeps one line at the foot of the terminal. Each new text overwrites the last one in place, so
 * the line never scrolls; whoever prints something else takes the line away first.
 */
#include "client/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "client/terminal.h"

void progress_init(Progress *ret_progress, bool wanted) {
        *ret_progress = (Progress){ .enabled = wanted && isatty(STDERR_FILENO) };
}

void progress_show(Progress *progress, const char *format, ...) {
        /* A full line would move the cursor, on some terminals, to the next one. */
        int room = terminal_width(STDERR_FILENO) - 1;
        char text[160];
        va_list arguments;

        if (!progress->enabled)
                return;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        fprintf(stderr, "\r%.*s\033[K", room, text);
        fflush(stderr);
        progress->shown = true;
}

void progress_clear(Progress *progress) {
        if (!progress->shown)
                return;
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress->shown = false;
}
