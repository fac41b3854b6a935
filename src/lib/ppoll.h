/* SPDX-License-Identifier: MIT */
#pragma once

#include <poll.h>

/*
 * ppoll: ppoll(2), with a time-out of as many bits as the program has for times.
 *
 * In programs of 32 bits with times of 64, the fortified ppoll() of glibc 2.36 passes these to the
 * function for 32 bits, which takes each time-out below a second for 0: a loop would spin until its
 * deadline.
 */
#if defined __USE_TIME_BITS64 && __TIMESIZE == 32
int ppoll_of_64(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                const sigset_t *mask) __asm__("__ppoll64");
#define ppoll ppoll_of_64
#endif
