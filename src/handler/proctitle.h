/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * The title that ps(1), systemd-cgls(1) and systemctl status show for this process: what is in the
 * memory of its command line, which the kernel reads on when its last byte is not NUL
 * (proc_pid_cmdline(5)).
 */

/*
 * title_init: makes room for titles where @argv and the environment are. Called once, first thing
 * in main(), with its own arguments: moves the environment elsewhere, so pointers that getenv(3)
 * returned before are no longer valid after title_set(), nor is @argv.
 *
 * Returns 0, or -ENOMEM.
 */
int title_init(int argc, char **argv);

/*
 * title_set: makes @title the title of this process, cut to the room there is. Does nothing without
 * title_init().
 */
void title_set(const char *title);
