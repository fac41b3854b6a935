/* SPDX-License-Identifier: MIT */
/* What the calls of a master leave in registers, and its handlers must not find. */

#include "handler/wipe.h"

#include <string.h>

#include "unit.h"

#if defined(__x86_64__)
#define NUMBERS "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define SET     ".irp n, " NUMBERS "\n\tvmovdqu %0, %%ymm\\n\n\t.endr"
#define GET     ".irp n, " NUMBERS "\n\tvmovdqu %%ymm\\n, \\n*32(%1)\n\t.endr"
#define COPIES  16
#define SIZE    32
#elif defined(__aarch64__)
#define NUMBERS                                                                                    \
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define SET    ".irp n, " NUMBERS "\n\tldr q\\n, %0\n\t.endr"
#define GET    ".irp n, " NUMBERS "\n\tstr q\\n, [%1, #\\n*16]\n\t.endr"
#define COPIES 32
#define SIZE   16
#endif

#ifdef SET

/* As long as a vector register. */
static const char text[SIZE] = "192.0.2.7:51234"
#if SIZE == 32
                               "\0"
                               "192.0.2.8:51235"
#endif
                ;

/* In each vector register is a text before, and none is left of it. */
static void test_registers(void **state) {
        char copies[COPIES][SIZE];

        (void)state;
#ifdef __x86_64__
        /* It asks for no more than the processor has, and then wipes nothing. */
        if (!__builtin_cpu_supports("avx")) {
                wipe_registers();
                return;
        }
#endif
        __asm__ volatile(SET : : "m"(text));
        __asm__ volatile(GET : "=m"(copies) : "r"(copies));
        for (int i = 0; i < COPIES; i++)
                assert_memory_equal(copies[i], text, SIZE);

        __asm__ volatile(SET : : "m"(text));
        wipe_registers();
        __asm__ volatile(GET : "=m"(copies) : "r"(copies));
        for (int i = 0; i < COPIES; i++)
                assert_memory_equal(copies[i], (char[SIZE]){}, SIZE);
}

#endif

int main(void) {
        const struct CMUnitTest tests[] = {
#ifdef SET
                cmocka_unit_test(test_registers),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
