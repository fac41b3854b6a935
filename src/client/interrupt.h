/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The wish to end early, as a descriptor to poll: ^C, or a polite kill(1), must not cost the user
 * what has been measured so far.
 */

/*
 * interrupt_open: blocks SIGINT and SIGTERM in this process and those that it starts, and returns
 * a descriptor that becomes and stays readable once one of them has come (signalfd(2)). It is the
 * caller's to close. Returns a negative errno if that is not to be had.
 */
int interrupt_open(void);

/*
 * interrupt_is_due: whether @fd, of interrupt_open(), is readable.
 */
int interrupt_is_due(int fd);
