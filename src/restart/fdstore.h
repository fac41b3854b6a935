/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/clock.h"

/*
 * systemd's file descriptor store (FDSTORE=1 in sd_notify(3), FileDescriptorStoreMax= in
 * systemd.service(5)): systemd passes the descriptors in it to the next process of the service, and
 * closes them when the service stops for good.
 *
 * Each run of the service has a number, and all that it stores has that number in its name:
 * "mpecho-connection.12". So a run removes exactly the descriptors that systemd passed to it,
 * whatever the keeper stores meanwhile. The keeper stores each connection in a bundle of its own,
 * with the process ID of the handler in its name: "h.12.4711". So the master can remove that alone.
 */
typedef enum FdstoreKind {
        FDSTORE_STRANGER,       /* not mpecho's */
        FDSTORE_CONNECTION,     /* a bundle of connections, each followed by its unsent bytes */
        FDSTORE_LEDGER,         /* a bundle of the two parts of a ledger */
        FDSTORE_OLD_CONNECTION, /* of mpecho 0.1.0: a connection, or a bundle of connections */
        FDSTORE_OLD_UNSENT,     /* of mpecho 0.1.0: a memfd with cookie and bytes, or a bundle */
        FDSTORE_OLD_LEDGER,     /* of mpecho 0.1.0: counts in a layout that is no longer read */
} FdstoreKind;

/* How long fdstore_barrier() waits. systemd may have much else to do, and giving up loses
 * connections. */
#define FDSTORE_PATIENCE (20 * CLOCK_SECOND)

/* The largest number of a run. */
#define FDSTORE_RUN_MOST UINT64_C(999999999999)

enum {
        /* Room for any name, the terminating NUL included. */
        FDSTORE_NAME_SIZE = 64,
};

/* fdstore_parse_name: Returns the kind of the descriptors that are stored under @name, which may be
 * NULL, and sets @ret_run to the number of their run; 0 for mpecho 0.1.0. */
FdstoreKind fdstore_parse_name(const char *name, uint64_t *ret_run);

/*
 * fdstore_put: Sends a duplicate of the descriptor @fd to the store, as @kind of the run @run; it
 * stays there even when its peer hangs up (FDPOLL=0).
 *
 * fdstore_put_connections: Sends the @n descriptors @fds, 1 to BUNDLE_MOST, as one bundle. The
 * keeper names it after the process @handler; for a bundle of the master that is 0.
 *
 * Both block while systemd's queue is full. What was sent is not yet taken: see fdstore_barrier().
 *
 * Return 0, or a negative errno; -ENOTCONN when there is no service manager.
 */
int fdstore_put(FdstoreKind kind, uint64_t run, int fd);
int fdstore_put_connections(const int *fds, size_t n, uint64_t run, pid_t handler);

/*
 * fdstore_remove: Asks systemd to close all descriptors stored as @name. Blocks while systemd's
 * queue is full.
 *
 * fdstore_remove_own: The same for the bundle that the keeper may have stored for the process
 * @handler in the run @run; never blocks, and does nothing while systemd's queue is full.
 */
void fdstore_remove(const char *name);
void fdstore_remove_own(uint64_t run, pid_t handler);

/*
 * fdstore_barrier: Blocks until systemd has taken all descriptors sent before, which it does only
 * for processes that still exist (BARRIER=1 in sd_notify(3)).
 *
 * Returns 0, or a negative errno; -ETIMEDOUT after FDSTORE_PATIENCE.
 */
int fdstore_barrier(void);

/* fdstore_limit: Returns how many descriptors the store of this service takes ($FDSTORE, from
 * systemd 254 on); UINT64_MAX when that is unknown. */
uint64_t fdstore_limit(void);
