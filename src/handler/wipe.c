/* SPDX-License-Identifier: MIT */
/*
 * Keeps the past of the master from handlers. A peer that has taken over its handler must find no
 * address of another peer, neither in memory nor in a vector register. The tables of the master are
 * no part of a handler (mapping_new_unforked()). Its stack and its registers are, and records pass
 * through both.
 *
 * The master wipes its stack before it forks: each page that a handler wiped would be copied. The
 * master wipes more than children inherit (fork.c), so that nothing here depends on that. The
 * handler wipes its registers: the kernel copies these in any case, and a call that the master
 * makes before the fork would fill them again.
 */
#include "handler/wipe.h"

#include <string.h>

/* More of the stack than any call of the master uses. */
#define STACK_LEFT (12 * 1024)

/* It has a frame of its own, below that of the caller. */
__attribute__((noinline)) void wipe_stack(void) {
        char below[STACK_LEFT];

        explicit_bzero(below, sizeof below);
}

#if defined(__x86_64__)

/* An area for xrstor. REGISTERS selects x87, SSE, AVX and AVX-512 (Intel SDM, volume 1, chapter
 * 13). */
typedef struct Registers {
        unsigned char legacy[24];
        unsigned mxcsr;
        unsigned char rest[548];
} Registers;

#define REGISTERS     0xe7
#define MXCSR_DEFAULT 0x1f80

void wipe_registers(void) {
        /* On the stack, which the handler has written to. */
        const Registers empty __attribute__((aligned(64))) = { .mxcsr = MXCSR_DEFAULT };

        if (__builtin_cpu_supports("avx"))
                __asm__ volatile("xrstor %0"
                                 :
                                 : "m"(empty), "a"(REGISTERS), "d"(0)
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                                   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                                   "xmm15");
}

#elif defined(__aarch64__)

/* The compiler does not hear of v8 to v15: it would restore their lower halves, which belong to the
 * caller. That is a handler that begins, and calculates with no fractions. */
void wipe_registers(void) {
        __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"
                         "25,26,27,28,29,30,31\n\tmovi v\\n\\().2d, #0\n\t.endr"
                         :
                         :
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18",
                           "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
                           "v29", "v30", "v31");
}

#else

void wipe_registers(void) {
}

#endif
