/* SPDX-License-Identifier: MIT */
#pragma once

/* Included in front of each source by `make coverage`: _exit(2) writes no counts by itself, nor
 * does a process that ends itself by raise(3). */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libgcov allocates when a handler ends: handlers inherit the heap, and the libraries. */
enum {
        KEEP_OUT = MADV_DONTFORK,
};
#undef MADV_DONTFORK
#define MADV_DONTFORK (strcmp(__FILE__, "src/handler/fork.c") == 0 ? MADV_NORMAL : KEEP_OUT)

/* libgcov of Debian 13 calls it, and the C library of Debian 12 does not have it. */
#if !__GLIBC_PREREQ(2, 38)
/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
long __isoc23_strtol(const char *text, char **end, int base);

/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
__attribute__((weak)) long __isoc23_strtol(const char *text, char **end, int base) {
        return strtol(text, end, base);
}
#endif

void __gcov_dump(void); /* NOLINT(clang-diagnostic-reserved-identifier): libgcov's name */

/* A function: its argument is computed, and counted, before. */
static inline _Noreturn void flush_and_exit(int code) {
        __gcov_dump();
        _exit(code);
}

#define _exit(code) flush_and_exit(code) /* NOLINT(clang-diagnostic-reserved-macro-identifier) */

static inline int flush_and_raise(int number) {
        __gcov_dump();
        return raise(number);
}

#define raise(number) flush_and_raise(number)
