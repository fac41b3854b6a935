/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * confine_children: In a sandbox of seccomp(2), refuses to this process and to all that it forks
 * from then on:
 *
 * - execve(2) and execveat(2);
 * - bind(2), listen(2), MSG_FASTOPEN and io_uring(7); connect(2) to an address of more than
 *   HANDOVER_ADDRESS_SIZE bytes (handover.h); chdir(2), which makes addresses of files shorter;
 * - sockets of SOCK_DGRAM and SOCK_RAW; SO_REUSEADDR (socket(7)), on or off; epoll_create(2);
 * - signals to this process, also by fcntl(2) and raise(3), to the process @keeper, 0 for none, or
 *   to many processes; signals that stop a process; sigqueue(3) and pidfd_send_signal(2);
 * - changes of another process's limits; setsid(2) and setpgid(2); PR_SET_DUMPABLE (prctl(2));
 * - ioctl(2) of interfaces and neighbours (netdevice(7), arp(7));
 * - system calls of other architectures, which x86-64 and arm64 run as well.
 *
 * On i386 and s390x the C library calls socketcall(2) for all sockets. The filter sees no arguments
 * of that: by it, it refuses bind(2) and listen(2) alone.
 *
 * Does nothing outside of a sandbox.
 */
void confine_children(pid_t keeper);
