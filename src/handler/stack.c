/* SPDX-License-Identifier: MIT */
#include "handler/stack.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* makecontext(3) passes no pointers. */
static struct {
        void (*function)(void *data);
        void *data;
} entered;

static void stack_enter(void) {
        entered.function(entered.data);
}

/* The mapping that @frame is in, see proc_pid_maps(5). */
static void stack_advise_mapping(const void *frame, int advice) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        uintptr_t start, end;

        if (maps == NULL)
                return;
        while (fgets(line, sizeof line, maps) != NULL)
                if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2 &&
                    (uintptr_t)frame >= start && (uintptr_t)frame < end)
                        (void)madvise((char *)frame - ((uintptr_t)frame - start), end - start,
                                      advice);
        fclose(maps);
}

void stack_run(void *stack, size_t size, bool inherited, void (*function)(void *data), void *data) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        ucontext_t here, there;

        if (!STACK_IS_OWN) {
                function(data);
                return;
        }
        (void)getcontext(&there);
        there.uc_stack = (stack_t){ .ss_sp = stack, .ss_size = size };
        there.uc_link = &here;
        makecontext(&there, stack_enter, 0);
        entered.function = function;
        entered.data = data;

        (void)mprotect(stack, page, PROT_NONE);
        /* Nothing for a child to copy either: there it is a hole. */
        (void)madvise(stack, page, MADV_DONTFORK);
        if (!inherited)
                stack_advise_mapping(__builtin_frame_address(0), MADV_DONTFORK);
        (void)swapcontext(&here, &there);
        if (!inherited)
                stack_advise_mapping(__builtin_frame_address(0), MADV_DOFORK);
        (void)madvise(stack, page, MADV_DOFORK);
        (void)mprotect(stack, page, PROT_READ | PROT_WRITE);
}
