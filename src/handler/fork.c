/* SPDX-License-Identifier: MIT */
#include "handler/fork.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the C library has told the kernel when the process started. Were it another size one day,
 * the kernel would refuse, and a fork cost two pages more. */
#define RSEQ_AREA_SIZE 32

void child_prepare(void) {
        char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

        if (__rseq_size > 0)
                (void)syscall(SYS_rseq, area, RSEQ_AREA_SIZE, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

/* Without CLONE_CHILD_SETTID, which the C library asks for, and which writes to the child's memory.
 * Not by clone3(2): RestrictNamespaces= (systemd.exec(5)) forbids it, as a filter cannot see its
 * flags. */
pid_t child_fork(void) {
#if defined(__s390__) || defined(__sparc__)
        /* Where clone(2) has another order of arguments, or returns otherwise. */
        const pid_t pid = _Fork();
#else
        const pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
#endif

        return pid < 0 ? -errno : pid;
}

void child_unblock_signals(void) {
        const uint64_t none = 0;

        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

_Noreturn void child_exit(int code) {
        (void)syscall(SYS_exit_group, code);
        __builtin_unreachable();
}
