/* SPDX-License-Identifier: MIT */
#pragma once

enum {
        /* What is assumed where there is no terminal. */
        TERMINAL_WIDTH = 80,
};

/*
 * terminal_width: the columns of the terminal that @fd refers to, TERMINAL_WIDTH if it is none.
 */
int terminal_width(int fd);
