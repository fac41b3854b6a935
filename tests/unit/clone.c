/* SPDX-License-Identifier: MIT */
#include "clone.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static int clone_error, clone_failures;

void clone_fail(int error, int times) {
        clone_error = error;
        clone_failures = times;
}

/* In place of the C library's, for libraries as well. All get as many arguments as any of them may
 * have; the sanitizer would tell of those that were not passed. */
__attribute__((no_sanitize("address"))) long syscall(long number, ...) {
        static long (*real)(long, ...);
        long arguments[6];
        va_list list;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "syscall");
        if (number == SYS_clone && clone_failures > 0) {
                clone_failures--;
                errno = clone_error;
                return -1;
        }
        va_start(list, number);
        for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++)
                arguments[i] = va_arg(list, long);
        va_end(list);
        return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                    arguments[5]);
}
