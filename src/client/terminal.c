/* SPDX-License-Identifier: MIT */
/*
 * Asks the terminal for its width.
 */
#include "client/terminal.h"

#include <sys/ioctl.h>

int terminal_width(int fd) {
        struct winsize size;

        if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return TERMINAL_WIDTH;
        return size.ws_col;
}
