/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* A line of progress at the foot of the terminal on standard error; nothing without a terminal. */
typedef struct Progress {
        bool enabled;
        bool shown;
} Progress;

/*
 * progress_init: Prepares @ret_progress. It shows nothing without @wanted or without a terminal.
 *
 * progress_show: Replaces the line by @format, as printf(3) writes it, cut at the terminal's width.
 *
 * progress_clear: Erases the line. Call it before anything else writes to the terminal.
 */
void progress_init(Progress *ret_progress, bool wanted);
void progress_show(Progress *progress, const char *format, ...)
                __attribute__((format(printf, 2, 3)));
void progress_clear(Progress *progress);
