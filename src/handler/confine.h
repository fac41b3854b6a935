/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * confine_children: In a sandbox of seccomp(2), refuses to this process and to all that it forks:
 * both execve(2); connect(2), bind(2), listen(2), MSG_FASTOPEN and io_uring(7); signals to this
 * process, also by fcntl(2) and raise(3), and those that stop any; the limits of other processes;
 * and the system calls of other architectures that x86-64 and arm64 run as well. Does nothing
 * elsewhere.
 */
void confine_children(void);
