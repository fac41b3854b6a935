/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Stored Stored;

/*
 * What the last process of this service left in systemd's store (store.h), as it was passed to this
 * one.
 */
struct Stored {
        uint32_t n_connections;
        int *connections; /* and pendings: -1 for what is closed already */
        uint32_t n_pendings;
        int *pendings; /* memfds, see handover.h */
        int roster;    /* a memfd, see roster.h; or -1 */
        bool other;    /* its name is STORE_ROSTER_OTHER */
};

/*
 * stored_init: nothing yet, with room for what @most passed descriptors can hold. @stored needs
 * stored_deinit() in any case.
 *
 * Returns 0, or -ENOMEM.
 */
int stored_init(Stored *stored, uint32_t most);
void stored_deinit(Stored *stored);

/*
 * stored_take: takes the passed descriptor @fd if it is what its @name says, which may be NULL; or
 * if it is a pack (pack.h), what is in it.
 *
 * Returns whether it did; otherwise the descriptor stays the caller's.
 */
bool stored_take(Stored *stored, int fd, const char *name);

/*
 * stored_replace_roster: puts the roster @fd into the store, in place of the one that was there.
 * The descriptor stays the caller's.
 */
void stored_replace_roster(const Stored *stored, int fd);

/*
 * stored_forget: closes everything here, and connections and what is pending in the store.
 */
void stored_forget(Stored *stored);

/*
 * is_connection: whether @fd is a stream socket that does not listen: a connection, also one that
 * its peer has reset already, so that getpeername(2) fails.
 */
bool is_connection(int fd);
