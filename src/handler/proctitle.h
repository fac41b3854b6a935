/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * The title that ps(1), systemd-cgls(1) and systemctl status show for this process: what is in the
 * memory of its command line, which the kernel reads on when its last byte is not NUL
 * (proc_pid_cmdline(5)).
 */

/*
 * proctitle_init: makes room for titles where @argv and the environment are. Called once, first
 * thing in main(), with its own arguments: moves the environment elsewhere, so pointers that
 * getenv(3) returned before are no longer valid after proctitle_set(), nor is @argv.
 *
 * Returns 0, or -ENOMEM.
 */
int proctitle_init(int argc, char **argv);

/*
 * proctitle_set: makes @title the title of this process, cut to the room there is. Does nothing
 * without proctitle_init().
 */
void proctitle_set(const char *title);
