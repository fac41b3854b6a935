/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/failure.h"
#include "report/journal.h"
#include "restart/restore.h"

/* A listening stream socket or a datagram socket that this process inherited. */
typedef struct InheritedSocket {
        int fd;
        const char *name; /* its name in systemd, or NULL; valid as long as the Inherited */
} InheritedSocket;

/* The descriptors that this process inherited: systemd passes them from 3 on (sd_listen_fds(3)), an
 * inetd passes one as stdin. */
typedef struct Inherited {
        int n;             /* descriptors from 3 on; or a negative errno of sd_listen_fds(3) */
        int missing;       /* the first one that is not open, when @n is -EBADF */
        char **names;      /* of each, NULL-terminated; NULL when their number is wrong */
        char *promised;    /* $LISTEN_FDS, or NULL */
        char *foreign_pid; /* $LISTEN_PID when it is not this process, else NULL */

        /* From inherited_sort() on: */
        int connection;  /* the only connection to serve, or -1 */
        bool manager;    /* systemd passed the sockets, and also keeps connections */
        Restore restore; /* what earlier runs stored in systemd */
        uint32_t n_sockets;
        InheritedSocket *sockets;
} Inherited;

/*
 * inherited_take: Reads which descriptors systemd passed, sets their close-on-exec flags, and
 * removes its variables from the environment. Call before the process opens anything: a new
 * descriptor could take the number of one that systemd promised and did not pass.
 *
 * inherited_deinit: Frees what @inherited points to, and closes the stored descriptors. The sockets
 * stay open.
 */
void inherited_take(Inherited *ret_inherited);
void inherited_deinit(Inherited *inherited);

/*
 * inherited_sort: Looks at each passed descriptor, or at stdin if there is none, to learn its type.
 * Closes passed descriptors that nothing here serves, with a RECORD_STRANGER each in @journal;
 * leaves stdin alone and duplicates its socket.
 *
 * Returns 0 when there is something to serve; WRONG_USAGE (options.h) or a negative errno, with the
 * reason in @ret_failure.
 */
int inherited_sort(Inherited *inherited, Journal *journal, Failure *ret_failure);

/* inherited_refuse: Resets the clients that wait at the passed listening sockets, and discards the
 * datagrams that wait. For a process that does not serve: systemd would start the service again for
 * each of them, without end. */
void inherited_refuse(const Inherited *inherited);
