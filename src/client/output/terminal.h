/* SPDX-License-Identifier: MIT */
#pragma once

enum {
        /* The width without a terminal. */
        TERMINAL_WIDTH = 80,
};

/* terminal_width: Returns the columns of the terminal @fd, or TERMINAL_WIDTH for anything else. */
int terminal_width(int fd);
