/* SPDX-License-Identifier: MIT */
#pragma once

/* fork(2) copies what the calls of the parent left behind: in the stack, and in registers. */

/* wipe_stack: Overwrites what the calls that have returned to the caller left on the stack. Call it
 * also before a call that forks: handler_start() cannot reach the gaps in the frames of its
 * callers. */
void wipe_stack(void);

/* wipe_registers: Overwrites the vector registers, through which the C library copies text, and
 * those for floating-point numbers. Does nothing on other machines than arm64 and x86-64 with
 * AVX. */
void wipe_registers(void);
