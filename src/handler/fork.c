/* SPDX-License-Identifier: MIT */
/*
 * Makes forks cheap. All tricks that change a fork for speed live in this file.
 *
 * A short connection costs little more than its fork. For a fork the kernel copies each mapping of
 * the parent, a page table for each populated part of the address space and, later, each page that
 * parent or child writes first. A page fault costs about ten system calls.
 *
 * - Libraries. libsystemd 252 brings six libraries and 45 mappings, libsystemd 257 two and ten.
 *   Handlers run none of them, so children do not inherit them (MADV_DONTFORK, madvise(2)). A
 *   connection costs 1.35 times the processor time of a program without libsystemd when children
 *   inherit them, 1.26 times when they do not; with the libraries of Debian 13, 1.24 and 1.14.
 * - The heap. Handlers get their arguments by value and allocate nothing, so children do not
 *   inherit it either: a page table less for each, and 0.97 times the processor time.
 * - clone(2) by hand. The C library's fork writes the child's thread ID and runs the handlers of
 *   pthread_atfork(3), one of which belongs to a library that the child does not have. Together
 *   with the next trick: 1.12 times.
 * - Restartable sequences. The kernel writes to the thread's rseq(2) area whenever it schedules the
 *   process, and so copies a page in each child. Nothing here uses them.
 * - The stack. The master writes up to three pages of it after the fork. Children inherit the stack
 *   only down to the fork, and find empty pages below (MADV_WIPEONFORK).
 * - The code of a handler. The Makefile puts its functions side by side, so that one fault maps all
 *   of them. The signal mask is set by the call that clone(2) goes through: the functions for that
 *   lie in two other parts of the C library.
 *
 * A handler has 7 to 9 page faults, and its connection 3 or 4 more in the master. Without the last
 * two tricks, and with a mapping for each of the master's tables, there are 13 and 5, with 1.11
 * times the processor time.
 *
 * A child runs only this program, the C library, and what the dynamic linker preloaded. It must
 * never call a function of the libraries named below, nor malloc(3): they are not there. The
 * program is linked with -z now, so no jump into the dynamic linker is left.
 */
#include "handler/fork.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library registers an area of this size; the kernel refuses to unregister another one. */
#define RSEQ_AREA_SIZE 32

/* Of the stack: what the call that forks needs below its caller, and more than the master has. */
#define STACK_ROOM 1024
#define STACK_MOST ((size_t)1024 * 1024)

/* libsystemd of Debian 12 and 13, and the libraries that it depends on. */
static const char *const unused_libraries[] = {
        "libsystemd.so.", "libcap.so.", "libgcrypt.so.", "libgpg-error.so.",
        "liblzma.so.",    "liblz4.so.", "libzstd.so.",
};

static int library_is_unused(const char *path) {
        const char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;

        for (size_t i = 0; i < sizeof unused_libraries / sizeof unused_libraries[0]; i++)
                if (strncmp(name, unused_libraries[i], strlen(unused_libraries[i])) == 0)
                        return 1;
        return 0;
}

/* Keeps the mappings of one unused library out of children; called by dl_iterate_phdr(3). */
static int library_withhold(struct dl_phdr_info *library, size_t size, void *data) {
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)size;
        (void)data;
        if (!library_is_unused(library->dlpi_name))
                return 0;

        for (ElfW(Half) i = 0; i < library->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
                const uintptr_t start = (library->dlpi_addr + segment->p_vaddr) & ~(page - 1);
                const uintptr_t end = library->dlpi_addr + segment->p_vaddr + segment->p_memsz;

                if (segment->p_type == PT_LOAD)
                        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the linker has numbers only */
                        (void)madvise((void *)start, end - start, MADV_DONTFORK);
        }
        return 0;
}

/* Keeps the heap out of children, as proc(5) names it. Without /proc, forks cost more. */
static void heap_withhold(void) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[PATH_MAX + 128];
        uintptr_t start, end;

        if (maps == NULL)
                return;
        while (fgets(line, sizeof line, maps) != NULL)
                if (strstr(line, " [heap]\n") != NULL &&
                    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2)
                        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel writes numbers */
                        (void)madvise((void *)start, end - start, MADV_DONTFORK);
        (void)fclose(maps);
}

/* Ends the thread's restartable sequences, where the C library has registered an area for them. */
static void rseq_unregister(void) {
#ifdef RSEQ_SIG
        char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

        if (__rseq_size > 0)
                (void)syscall(SYS_rseq, area, RSEQ_AREA_SIZE, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

void fork_prepare(void) {
        rseq_unregister();
        (void)dl_iterate_phdr(library_withhold, NULL);
        heap_withhold();
}

/* Withholds the stack below the caller from children, but for the room that the caller needs to
 * fork: there they find zeros. Withholds only what the last call did not: at one depth, calls cost
 * nothing. Returns 0, or a negative errno. */
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
pid_t fork_child(void) {
        const int r = stack_withhold();

        if (r < 0)
                return r;
#if defined(__s390__)
        const pid_t pid = (pid_t)syscall(SYS_clone, NULL, SIGCHLD, NULL, NULL, NULL);
#elif defined(__sparc__)
        const pid_t pid = _Fork();
#else
        const pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
#endif

        return pid < 0 ? -errno : pid;
}

void fork_unblock_signals(void) {
        const sigset_t none = {};

        /* The kernel's set is shorter than the C library's. */
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, _NSIG / 8);
}
