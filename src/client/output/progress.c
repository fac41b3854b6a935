/* SPDX-License-Identifier: MIT */
/*
 * Keeps one line at the foot of the terminal on standard error.
 *
 * Each new text overwrites the last one in place (carriage return, erase to the end of the line),
 * so that the line does not scroll. A caller that prints anything else clears the line first.
 * Without a terminal nothing is written, so logs and pipes stay clean.
 *
 * A text must never fill the last column: some terminals would move the cursor to the next line.
 */
#include "client/output/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "client/output/terminal.h"

void progress_init(Progress *ret_progress, bool wanted) {
        *ret_progress = (Progress){ .enabled = wanted && isatty(STDERR_FILENO) };
}

void progress_show(Progress *progress, const char *format, ...) {
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
