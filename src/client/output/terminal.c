/* SPDX-License-Identifier: MIT */
/*
 * Asks the terminal for its width (TIOCGWINSZ, ioctl_tty(2)).
 *
 * The chart and the line of progress use it. A file, a pipe and a terminal of unknown size count as
 * 80 columns wide, so that the output of a script does not depend on the window in which it was
 * started.
 *
 * It reads the width at each call, since a user may resize the window; nothing here may cache it.
 */
#include "client/output/terminal.h"

#include <sys/ioctl.h>

int terminal_width(int fd) {
        struct winsize size;

        if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return TERMINAL_WIDTH;
        return size.ws_col;
}
