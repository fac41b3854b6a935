/* SPDX-License-Identifier: MIT */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

/*
 * Calls of the C library that fail when a test says so.
 */
typedef struct CallFault CallFault;

struct CallFault {
        int error; /* what they set errno to */
        int after; /* how many calls pass before */
        int times; /* how many fail */
};

/*
 * fault_strikes: Counts one call. Returns whether it fails, with errno set.
 */
bool fault_strikes(CallFault *fault);

/*
 * FAULT: Replaces the C library's @call in a test program, where src/ calls it too. All calls pass
 * until the test sets the variable @call_fault. The library has @call under the name @symbol: names
 * for an off_t of 64 bits end with 64.
 */
#define FAULT(type, call, symbol, parameters, arguments)                                           \
        static CallFault call##_fault;                                                             \
                                                                                                   \
        type call parameters {                                                                     \
                static type(*real) parameters;                                                     \
                                                                                                   \
                if (real == NULL)                                                                  \
                        *(void **)&real = dlsym(RTLD_NEXT, #symbol);                               \
                if (fault_strikes(&call##_fault))                                                  \
                        return (type)-1; /* NOLINT(performance-no-int-to-ptr): MAP_FAILED */       \
                return real arguments;                                                             \
        }

/*
 * FAULT_OPTION: Replaces setsockopt(2) in the same way. It refuses the option that the variable
 * option_refused names, with EPERM; none while that is 0.
 */
#define FAULT_OPTION()                                                                             \
        static struct {                                                                            \
                int level;                                                                         \
                int name;                                                                          \
        } option_refused;                                                                          \
                                                                                                   \
        int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {         \
                static int (*real)(int, int, int, const void *, socklen_t);                        \
                                                                                                   \
                if (real == NULL)                                                                  \
                        *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");                          \
                if (option_refused.name != 0 && level == option_refused.level &&                   \
                    name == option_refused.name) {                                                 \
                        errno = EPERM;                                                             \
                        return -1;                                                                 \
                }                                                                                  \
                return real(fd, level, name, value, length);                                       \
        }
