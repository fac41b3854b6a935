/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A kernel that lacks what a process needs: syscall(2) of the program is replaced.
 */

/*
 * clone_fail: has the next @times calls of clone(2) fail with @error.
 */
void clone_fail(int error, int times);
