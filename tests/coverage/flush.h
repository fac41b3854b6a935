/* SPDX-License-Identifier: MIT */
#pragma once

/* Included in front of each source by `make coverage`: _exit(2) writes no counts by itself. */
#include <unistd.h>

void __gcov_dump(void); /* NOLINT(bugprone-reserved-identifier): libgcov's name */

#define _exit(code) (__gcov_dump(), _exit(code)) /* NOLINT(bugprone-reserved-identifier) */
