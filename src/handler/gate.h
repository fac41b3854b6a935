/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

typedef struct Gate Gate;

/* Closes a connection in the master that a handler has inherited, without waiting for anybody. It
 * holds the handler of a local client back until then: the handler's close(2) is to be the last. */

/* A pipe, the second end of which the master closes; both are -1 where nobody waits. */
struct Gate {
        int ends[2];
};

/*
 * gate_init: Makes a gate for one handler, which is shut if its client is @local. The caller ends
 * it with gate_open().
 *
 * Returns 0, or a negative errno of pipe2(2).
 */
int gate_init(Gate *ret_gate, bool local);

/* gate_open: Closes the connection @fd, unless it is negative, and lets the handler go on that was
 * forked since gate_init(). */
void gate_open(Gate *gate, int fd);

/* gate_wait: Waits in a handler until the master has opened @gate or has ended. The caller closes
 * what is left of it. */
void gate_wait(const Gate *gate);
