/* SPDX-License-Identifier: MIT */
/*
 * The last close(2) of a Unix socket closes the descriptors in the messages that wait there. One of
 * these can be a full connection that lingers (SO_LINGER, socket(7)), and close(2) waits for its
 * peer then. A local client can have its handler exit at once, by leaving before it reads. Without
 * a gate, the handler can be gone before the master has closed its own descriptor: the master would
 * wait, and with it all clients.
 *
 * A handler that exits never waits: the kernel makes no exiting process linger. So the handler must
 * not begin before the master has closed the connection. A pipe says that: the handler reads until
 * its end, which comes when the master closes the pipe, or dies.
 *
 * Connections of a network carry no descriptors, and need no gate.
 */
#include "handler/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int gate_init(Gate *ret_gate) {
        return pipe2(ret_gate->ends, O_CLOEXEC) < 0 ? -errno : 0;
}

void gate_open(Gate *gate) {
        close(gate->ends[0]);
        close(gate->ends[1]);
}

void gate_wait(const Gate *gate) {
        char none;

        close(gate->ends[1]);
        while (read(gate->ends[0], &none, sizeof none) < 0 && errno == EINTR)
                ;
}
