/* SPDX-License-Identifier: MIT */
/*
 * Makes forks cheap. The tricks that change a fork live in this file. Where other code only spares
 * a child a page, it says so.
 *
 * A short connection costs little more than its fork. The fork copies each mapping of the parent,
 * and a page table for each populated part of the address space. Later, the first write to a page,
 * by parent or child, copies that: a page fault is as dear as ten system calls. The tricks, and a
 * connection's processor time:
 *
 * - Libraries. libsystemd 252 brings six libraries and 45 mappings, libsystemd 257 two and ten.
 *   Handlers run none of them, so children do not inherit them (MADV_DONTFORK). A connection then
 *   costs 1.26 instead of 1.35 times that of a program without libsystemd; with the libraries of
 *   Debian 13, 1.14 instead of 1.24.
 * - The heap. Handlers allocate nothing and do not inherit it: 0.97 times, and less memory.
 * - clone(2) by hand, without the child's thread ID and the handlers of pthread_atfork(3); and no
 *   restartable sequences. When it schedules a process, the kernel writes to the rseq(2) area, and
 *   so copies a page in each child. Without both: 1.12 times.
 * - The stack. The master writes up to three pages of it after the fork. Children inherit the stack
 *   only down to the fork, and find empty pages below (MADV_WIPEONFORK). That saves no time, but
 *   12 KiB of the 68 that an idle connection needs.
 * - The code of a handler. The Makefile puts its functions side by side, so that one fault maps all
 *   of them. syscall(2) sets the signal mask as well: the functions for that lie elsewhere in the C
 *   library. Without these two, and with a mapping for each of the master's tables: 1.11 times. A
 *   handler has 7 to 9 page faults instead of 13, its master 3 or 4 instead of 5.
 *
 * A child must never call the libraries named below or malloc(3), which are not there. The program
 * is linked with -z now, so no jump into the dynamic linker is left.
 */
#include "handler/fork.h"

#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the stack: what the call that forks needs below its caller, and more than the master has. */
#define STACK_ROOM 1024
#define STACK_MOST ((size_t)1024 * 1024)

/* libsystemd of Debian 12 and 13, and the libraries that it depends on. */
static const char *const libraries[] = {
        "/libsystemd.so.", "/libcap.so.", "/libgcrypt.so.", "/libgpg-error.so.",
        "/liblzma.so.",    "/liblz4.so.", "/libzstd.so.",
};

/* Keeps the pages of @size bytes at @start out of children. */
static void withhold(uintptr_t start, size_t size) {
        const uintptr_t before = start % (uintptr_t)sysconf(_SC_PAGESIZE);

        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the linker has numbers only */
        (void)madvise((void *)(start - before), before + size, MADV_DONTFORK);
}

/* Withholds a library of the list; called by dl_iterate_phdr(3). */
static int library_withhold(struct dl_phdr_info *library, size_t size, void *data) {
        bool listed = false;

        (void)size;
        (void)data;
        for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
                listed |= strstr(library->dlpi_name, libraries[i]) != NULL;
        for (ElfW(Half) i = 0; listed && i < library->dlpi_phnum; i++)
                if (library->dlpi_phdr[i].p_type == PT_LOAD)
                        withhold(library->dlpi_addr + library->dlpi_phdr[i].p_vaddr,
                                 library->dlpi_phdr[i].p_memsz);
        return 0;
}

/* Withholds the heap, by its name in proc(5). Without /proc, forks cost more. */
static void heap_withhold(void) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        uintptr_t start, end;

        if (maps == NULL)
                return;
        while (fgets(line, sizeof line, maps) != NULL)
                if (strstr(line, " [heap]\n") != NULL &&
                    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2)
                        withhold(start, end - start);
        (void)fclose(maps);
}

void fork_prepare(void) {
        (void)dl_iterate_phdr(library_withhold, NULL);
        heap_withhold();
#ifdef RSEQ_SIG
        /* The size is that of the C library's area: the kernel unregisters no other. */
        if (__rseq_size > 0)
                (void)syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32,
                              RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

/* Wipes the stack in children, below the caller and the room that the caller needs to fork. At
 * one depth, only the first call costs anything. Returns 0, or a negative errno. */
static __attribute__((noinline)) int stack_withhold(void) {
        static uintptr_t last;
        volatile char room[STACK_ROOM];
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        const uintptr_t end = (uintptr_t)room & ~(page - 1);

        if (end == last)
                return 0;
        /* The stack grows down to there: the next call fails where nothing is mapped. */
        room[0] = 0;
        /* NOLINTBEGIN(performance-no-int-to-ptr): the numbers are rounded addresses */
        if (end < last && madvise((void *)end, last - end, MADV_KEEPONFORK) < 0)
                return -errno;
        /* Fails where the stack is shorter, after it has withheld all that there is. */
        (void)madvise((void *)(end - STACK_MOST), STACK_MOST, MADV_WIPEONFORK);
        /* NOLINTEND(performance-no-int-to-ptr) */
        last = end;
        return 0;
}

/* Not clone3(2): RestrictNamespaces= (systemd.exec(5)) refuses it, as a filter cannot read its
 * flags. s390 takes the stack first; sparc returns other values. */
pid_t fork_child(pid_t *noted) {
        const int flags = SIGCHLD | (noted != NULL ? CLONE_PARENT_SETTID : 0);
        pid_t pid = stack_withhold();

        if (pid < 0)
                return pid;
#if defined(__s390__)
        pid = (pid_t)syscall(SYS_clone, NULL, flags, noted, NULL, NULL);
#elif defined(__sparc__)
        pid = _Fork();
        (void)flags;
#else
        pid = (pid_t)syscall(SYS_clone, flags, NULL, noted, NULL, NULL);
#endif
        return pid < 0 ? -errno : pid;
}

void fork_unblock_signals(void) {
        const sigset_t none = {};

        /* The kernel's set is shorter than the C library's. */
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, _NSIG / 8);
}
