/* SPDX-License-Identifier: MIT */
/*
 * The last close(2) of a Unix socket closes the descriptors in the messages that wait there. That
 * can take long: one can be a full connection that lingers (SO_LINGER, socket(7)), or a file whose
 * file system is a process of the sender (FUSE). No signal ends the second wait. A local client can
 * make its handler exit at once, by leaving before it reads. Without a gate, the handler can be
 * gone before the master has closed its own descriptor: the master would wait, and with it all
 * clients.
 *
 * So the handler must not begin before the master has closed the connection. A pipe tells it: the
 * handler reads until its end, which comes when the master closes the pipe, or dies.
 *
 * Connections of a network carry no descriptors. A handler can make one linger, but a signal ends
 * that wait (discard.h): there is no pipe, which costs 6 us, and maybe a switch to the handler.
 */
#include "handler/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/descriptor.h"
#include "lib/discard.h"

int gate_init(Gate *ret_gate, bool local) {
        *ret_gate = (Gate){ .ends = { -1, -1 } };
        return local && pipe2(ret_gate->ends, O_CLOEXEC) < 0 ? -errno : 0;
}

void gate_open(Gate *gate, int fd) {
        if (gate->ends[0] >= 0) {
                descriptor_close(fd);
                close(gate->ends[0]);
                close(gate->ends[1]);
        } else if (fd >= 0) {
                discard_inherited(fd);
        }
}

void gate_wait(const Gate *gate) {
        char none;

        if (gate->ends[0] < 0)
                return;
        close(gate->ends[1]);
        while (read(gate->ends[0], &none, sizeof none) < 0 && errno == EINTR)
                ;
}
