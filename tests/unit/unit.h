/* SPDX-License-Identifier: MIT */
#pragma once

/* What cmocka.h wants to be included before it, and it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The number of clock_gettime(2) with as many bits for the time as the tests are built for. */
#ifdef SYS_clock_gettime64
#define GETTIME SYS_clock_gettime64
#else
#define GETTIME SYS_clock_gettime
#endif

/* SO_PASSRIGHTS (Linux 6.16), which older headers lack. */
#define OPTION_PASSRIGHTS 83
