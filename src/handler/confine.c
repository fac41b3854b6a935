/* SPDX-License-Identifier: MIT */
/*
 * Takes from handlers what only a hostile one would use: programs, addresses of sockets and
 * networks, messages to systemd, signals to the master or that stop a process, limits of others.
 * All handlers have the master's user ID, so permissions do not protect it.
 *
 * The means is a filter of system calls (seccomp(2)). systemd cannot install this one: it executes
 * the program after it has installed its own, and does not know the master's process ID. A filter
 * slows down each system call. Where nothing else filters them, nothing else is confined either,
 * and this adds no filter.
 *
 * A filter reads numbers alone, never memory. It must refuse a call under each of its numbers: of
 * the x32 ABI, and of a 32-bit architecture that the sandbox allows as well.
 */
#include "handler/confine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart/handover.h"

/* The lower half of an argument, as the kernel takes an int. */
#define ARGUMENT(n)                                                                                \
        (offsetof(struct seccomp_data, args[n]) +                                                  \
         (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0))

#define REFUSE_ALWAYS BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* Makes the system call @name fail when the test of its argument @n with @value succeeds. */
#define REFUSE(name, n, test, value)                                                               \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                     \
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 3),                     \
                        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(n)),                           \
                        BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, 1), REFUSE_ALWAYS

/* Makes it fail when its argument @n has the bits @value of those in @mask. */
#define REFUSE_MASKED(name, n, mask, value)                                                        \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                     \
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4),                     \
                        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(n)),                           \
                        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (mask)),                               \
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), REFUSE_ALWAYS

/* The architecture whose numbers REFUSE() compares. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* From here on, numbers are those of the x32 ABI. */
#define X32_FIRST 0x40000000

/* The calls refused whatever process the master is. */
static const struct sock_filter refused[] = {
#ifdef ARCHITECTURE
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        REFUSE_ALWAYS,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_FIRST, 0, 1),
        REFUSE_ALWAYS,
#endif
        /* Programs. */
        REFUSE(execve, 0, BPF_JGE, 0),
        REFUSE(execveat, 0, BPF_JGE, 0),
        /* Signals to many processes, of which the master is one. */
        REFUSE(kill, 0, BPF_JEQ, 0),
        REFUSE(kill, 0, BPF_JGT, INT32_MAX),
        /* The C library does not use it. */
        REFUSE(tkill, 0, BPF_JGE, 0),
        /* Signals that stop a process: it would live on, and serve nobody. */
        REFUSE(kill, 1, BPF_JEQ, SIGSTOP),
        REFUSE(kill, 1, BPF_JEQ, SIGTSTP),
        REFUSE(kill, 1, BPF_JEQ, SIGTTIN),
        REFUSE(kill, 1, BPF_JEQ, SIGTTOU),
        REFUSE(tgkill, 2, BPF_JEQ, SIGSTOP),
        REFUSE(tgkill, 2, BPF_JEQ, SIGTSTP),
        REFUSE(tgkill, 2, BPF_JEQ, SIGTTIN),
        REFUSE(tgkill, 2, BPF_JEQ, SIGTTOU),
        /* Signals whose sender the kernel does not attest, or with another name for the
         * receiver: nothing here needs them. */
        REFUSE(rt_sigqueueinfo, 0, BPF_JGE, 0),
        REFUSE(rt_tgsigqueueinfo, 0, BPF_JGE, 0),
        REFUSE(pidfd_send_signal, 0, BPF_JGE, 0),
        /* The same from the kernel, when a descriptor is ready. */
        REFUSE(fcntl, 1, BPF_JEQ, F_SETOWN),
        REFUSE(fcntl, 1, BPF_JEQ, F_SETOWN_EX),
#ifdef SYS_fcntl64
        REFUSE(fcntl64, 1, BPF_JEQ, F_SETOWN),
        REFUSE(fcntl64, 1, BPF_JEQ, F_SETOWN_EX),
#endif
        REFUSE(ioctl, 1, BPF_JEQ, FIOSETOWN),
        REFUSE(ioctl, 1, BPF_JEQ, SIOCSPGRP),
        /* Interfaces, their addresses, and neighbours, which a connection shows (netdevice(7)). */
        REFUSE_MASKED(ioctl, 1, ~0x3ffU, 0x8800),
        /* A handler's connection belongs to the network of the machine: connect(2) could
         * move it to any address. Those of networks are longer than the master's. */
        REFUSE(connect, 2, BPF_JGT, HANDOVER_ADDRESS_SIZE),
        /* From other directories, some sockets of files have names that are as short: journald's
         * `stdout`. */
        REFUSE(chdir, 0, BPF_JGE, 0),
        REFUSE(fchdir, 0, BPF_JGE, 0),
        REFUSE(bind, 0, BPF_JGE, 0),
        REFUSE(listen, 0, BPF_JGE, 0),
        /* Without it, its connection would keep others from the port of the listener. */
        REFUSE(setsockopt, 2, BPF_JEQ, SO_REUSEADDR),
        /* With a routing header (RFC 8754) or a source route (RFC 791) its segments would go to any
         * address first, and with an interface to another network. */
        REFUSE(setsockopt, 2, BPF_JEQ, IPV6_RTHDR),
        REFUSE(setsockopt, 2, BPF_JEQ, IPV6_2292PKTOPTIONS),
        REFUSE(setsockopt, 2, BPF_JEQ, IP_OPTIONS),
        REFUSE(setsockopt, 2, BPF_JEQ, SO_BINDTODEVICE),
        REFUSE(setsockopt, 2, BPF_JEQ, SO_BINDTOIFINDEX),
        REFUSE(setsockopt, 2, BPF_JEQ, IP_UNICAST_IF),
        REFUSE(setsockopt, 2, BPF_JEQ, IPV6_UNICAST_IF),
        /* With MSG_FASTOPEN these connect too, a socket of Multipath TCP after a reset. */
        REFUSE(sendto, 3, BPF_JSET, MSG_FASTOPEN),
        REFUSE(sendmsg, 2, BPF_JSET, MSG_FASTOPEN),
        REFUSE(sendmmsg, 3, BPF_JSET, MSG_FASTOPEN),
        /* systemd takes its orders as datagrams. SOCK_RAW, another word for these, has the bit of
         * SOCK_DGRAM; the types of connections have not. */
        REFUSE(socket, 1, BPF_JSET, SOCK_DGRAM),
        REFUSE(socketpair, 1, BPF_JSET, SOCK_DGRAM),
        /* Its files in /proc would be its own: others could read its memory, and it could have the
         * kernel kill the keeper before it for lack of memory (oom_score_adj). */
        REFUSE(prctl, 0, BPF_JEQ, PR_SET_DUMPABLE),
        /* The keeper kills the process group of the service. */
        REFUSE(setsid, 0, BPF_JGE, 0),
        REFUSE(setpgid, 0, BPF_JGE, 0),
        /* The kernel limits how many files the processes of a user watch. */
        REFUSE(epoll_create1, 0, BPF_JGE, 0),
#ifdef SYS_epoll_create
        REFUSE(epoll_create, 0, BPF_JGE, 0),
#endif
        /* Its operations pass no filter. */
        REFUSE(io_uring_setup, 0, BPF_JGE, 0),
#ifdef SYS_socketcall
        /* It has its arguments in memory. On i386 and s390x the C library calls it for all sockets.
         */
        REFUSE(socketcall, 0, BPF_JEQ, SYS_BIND),
        REFUSE(socketcall, 0, BPF_JEQ, SYS_LISTEN),
#endif
        /* The limits of another process. */
        REFUSE(prlimit64, 0, BPF_JGT, 0),
};

static_assert((SOCK_RAW & SOCK_DGRAM) != 0 && ((SOCK_STREAM | SOCK_SEQPACKET) & SOCK_DGRAM) == 0,
              "one bit tells datagrams from connections");

void confine_children(pid_t keeper) {
        const uint32_t master = (uint32_t)getpid();
        const struct sock_filter rest[] = {
                /* Signals to the master alone, or to the keeper. */
                REFUSE(kill, 0, BPF_JEQ, master),
                REFUSE(tgkill, 0, BPF_JEQ, master),
                REFUSE(kill, 0, BPF_JEQ, (uint32_t)keeper),
                REFUSE(tgkill, 0, BPF_JEQ, (uint32_t)keeper),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_filter instructions[(sizeof refused + sizeof rest) / sizeof refused[0]];
        const struct sock_fprog program = {
                .len = sizeof instructions / sizeof instructions[0],
                .filter = instructions,
        };

        memcpy(instructions, refused, sizeof refused);
        memcpy((char *)instructions + sizeof refused, rest, sizeof rest);
        if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER)
                (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
