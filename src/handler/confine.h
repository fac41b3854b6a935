/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * confine_children: In a sandbox of seccomp(2), refuses to this process and to all that it forks:
 * both execve(2); bind(2), listen(2), MSG_FASTOPEN and io_uring(7); connect(2) to an address of
 * more than HANDOVER_ADDRESS_SIZE bytes (handover.h), and chdir(2), which makes addresses shorter;
 * sockets that are neither streams nor SOCK_SEQPACKET; signals to this process, also by fcntl(2)
 * and raise(3), and to @keeper, 0 for none, and those that stop any; the limits of other processes;
 * and the system calls of other architectures that x86-64 and arm64 run as well. Does nothing
 * elsewhere.
 */
void confine_children(pid_t keeper);
