/* SPDX-License-Identifier: MIT */
#pragma once

typedef struct Gate Gate;

/*
 * Holds a handler back until its master has closed the connection: the handler's close(2) is to be
 * the last one.
 */

/* A pipe, the second end of which the master closes. */
struct Gate {
        int ends[2];
};

/*
 * gate_init: Makes a gate that is shut. The caller opens it with gate_open().
 *
 * Returns 0, or a negative errno of pipe2(2).
 */
int gate_init(Gate *ret_gate);

/*
 * gate_open: Lets the handler go on that was forked since gate_init(). Nobody uses @gate any more.
 */
void gate_open(Gate *gate);

/*
 * gate_wait: Waits in a handler until the master has opened @gate or has ended. The caller closes
 * what is left of it.
 */
void gate_wait(const Gate *gate);
