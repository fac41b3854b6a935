/* SPDX-License-Identifier: MIT */
#pragma once

/* What cmocka.h wants to be included before it, and it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
