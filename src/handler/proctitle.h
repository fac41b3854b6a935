/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The title of this process in ps(1), systemd-cgls(1) and systemctl status (proc_pid_cmdline(5)).
 */

/*
 * proctitle_init: Makes room for titles in the memory of @argv and of the environment, which it
 * moves. Call once at the start of main(), with its arguments. proctitle_set() overwrites @argv and
 * strings that getenv(3) returned before.
 *
 * Returns 0, or -ENOMEM.
 */
int proctitle_init(int argc, char **argv);

/* proctitle_set: Sets the title, cut to the room. Does nothing without proctitle_init(). */
void proctitle_set(const char *title);
