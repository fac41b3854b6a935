/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress Progress;

/*
 * One line at the foot of the terminal on standard error that says how far the work is. Without a
 * terminal there is none.
 */
struct Progress {
        bool enabled;
        bool shown;
};

/*
 * progress_init: prepares @ret_progress; nothing is shown unless @wanted and there is a terminal.
 */
void progress_init(Progress *ret_progress, bool wanted);

/*
 * progress_show: shows @text, printf(3) style, in place of what is shown. What the terminal's width
 * cannot hold is cut.
 */
void progress_show(Progress *progress, const char *format, ...)
                __attribute__((format(printf, 2, 3)));

/*
 * progress_clear: takes the line away, before anything else is written to the terminal.
 */
void progress_clear(Progress *progress);
