/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fdpass.h"

/*
 * systemd's file descriptor store (FDSTORE=1 in sd_notify(3), FileDescriptorStoreMax= in
 * systemd.service(5)): what is put there is passed to the next process of the service, and closed
 * when the service is stopped for good.
 */

/* The most descriptors that are put there at once. */
#define STORE_MOST PASSING_MOST

/* What mpecho keeps there. */
#define STORE_CONNECTION "mpecho-connection" /* a connection that nobody serves */
#define STORE_PENDING                                                                              \
        "mpecho-pending" /* what was read from one and could not be written, see handover.h */
/* The counts, see roster.h. A roster and the one that takes its place have different names, so that
 * the store has the new one before the old one is removed, which is done by name. */
#define STORE_ROSTER       "mpecho-roster"
#define STORE_ROSTER_OTHER "mpecho-roster-other"

/*
 * store_put: puts copies of the @n descriptors @fds, 1 to STORE_MOST, into the store, all named
 * @name. They stay there even when their peers hang up. Sent, but not yet taken; see
 * store_barrier().
 *
 * Returns 0, or a negative errno; -ENOTCONN where there is no service manager.
 */
int store_put(const char *name, const int *fds, size_t n);

/*
 * store_remove: has the store close everything named @name.
 */
void store_remove(const char *name);

/*
 * store_has_name: whether @name, which may be NULL, is one of those above. What has it was put
 * there by a process of the service, and is no listener, which only the service manager has to
 * give.
 */
bool store_has_name(const char *name);

/*
 * store_barrier: waits until the service manager has taken what was put, which it does only for
 * processes that still exist (BARRIER=1 in sd_notify(3)).
 *
 * Returns 0, or a negative errno; -ETIMEDOUT after 20 seconds.
 */
int store_barrier(void);

/*
 * store_limit: how many descriptors the store of this service takes, as far as systemd says so,
 * which it does from version 254 on; UINT64_MAX when that is unknown.
 */
uint64_t store_limit(void);
