/* SPDX-License-Identifier: MIT */
/*
 * Keeps the past of the master from handlers. A peer that has taken over its handler must find no
 * address of another peer, neither in memory nor in a register. The tables of the master are no
 * part of a handler (mapping_new_unforked()). Its stack and its registers are, and records pass
 * through both.
 *
 * The master wipes its stack before it forks, as a handler that did so would copy each page. The
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

/* An area for xrstor in which no register has a value, but for the usual MXCSR; and bits of those
 * registers: x87, SSE, AVX, AVX-512 (Intel SDM, volume 1, chapter 13). */
static const struct {
        unsigned char legacy[24];
        unsigned mxcsr;
        unsigned char rest[548];
} __attribute__((aligned(64))) no_registers = { .mxcsr = 0x1f80 };

#define REGISTERS 0xe7

void wipe_registers(void) {
        if (__builtin_cpu_supports("avx"))
                __asm__ volatile("xrstor %0" : : "m"(no_registers), "a"(REGISTERS), "d"(0));
}

#elif defined(__aarch64__)

void wipe_registers(void) {
        __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"
                         "25,26,27,28,29,30,31\n\tmovi v\\n\\().2d, #0\n\t.endr");
}

#else

void wipe_registers(void) {
}

#endif
