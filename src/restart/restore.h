/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "restart/ledger.h"

typedef struct RestoreItem RestoreItem;

/* What earlier runs of the service left in systemd's descriptor store, as systemd passed it to this
 * one. restore.c describes how a connection is found in it. */
typedef struct Restore {
        uint64_t run;     /* the number of this run */
        uint32_t n_found; /* connections in all bundles; some may be there twice */
        Ledger *ledger;   /* of the newest earlier run, for reading; or NULL */
        uint64_t ledger_run;
        bool ledger_lost; /* systemd passed a ledger that cannot be read */
        uint32_t *ended;  /* slots of the ledger whose connections ended without a master */
        uint32_t n_ended;
        size_t n;
        size_t room;
        RestoreItem *items; /* private, as what follows */
        struct RestoreFound *found;
        struct RestoreOpen *open;
} Restore;

/* A connection, from restore_next(). The descriptors stay the restore's. */
typedef struct RestoredConnection {
        uint32_t index; /* of 0 to @n_found less 1; the same whenever the restore is rewound */
        int fd;         /* -1 when the machine has no room for it */
        int unsent;     /* a memfd, see unsent.h; or -1 */
        bool skip;      /* do not serve it: it is here a second time, or has ended */
        bool ended;     /* its handler ended in a run that was killed: reset it */
        const LedgerFacts *facts; /* of the ledger; or NULL */
        const LedgerEntry *entry; /* of the ledger; or NULL */
} RestoredConnection;

/*
 * restore_init: Begins with nothing, and with room for @most descriptors.
 *
 * Returns 0, or -ENOMEM; @restore needs restore_deinit() in any case.
 */
int restore_init(Restore *restore, size_t most);
void restore_deinit(Restore *restore);

/*
 * restore_take: Takes the passed descriptor @fd when it is a bundle or ledger that its @name, which
 * may be NULL, promises. Names must stay valid as long as the restore.
 *
 * Returns whether it did; otherwise the descriptor stays the caller's.
 *
 * restore_note: Lets restore_forget() remove @name from the store too, though nothing was taken.
 *
 * restore_reject: Once everything was taken and noted, removes from the store what no run can have
 * stored: names of a later run than the newest ledger's. Returns whether there is one, and sets
 * @ret_fd, which the caller closes, and its name. Call until it returns false.
 */
bool restore_take(Restore *restore, int fd, const char *name);
void restore_note(Restore *restore, const char *name);
bool restore_reject(Restore *restore, int *ret_fd, const char **ret_name);

/*
 * restore_prepare: Matches all connections with one another and with the ledger, once everything
 * was taken: chooses the number of this run, the newest copy of each connection, and its entry.
 *
 * Returns 0, or -ENOMEM.
 */
int restore_prepare(Restore *restore);

/*
 * restore_next: Sets @ret_connection to the next connection, newest run first. Closes those of the
 * bundle before, so that few are open at a time.
 *
 * Returns false after the last, and begins anew.
 */
bool restore_next(Restore *restore, RestoredConnection *ret_connection);

/*
 * restore_drop: Marks the connection that restore_next() returned last: later passes skip it.
 *
 * restore_forget: Removes everything that was taken or noted from the store, and closes it here.
 */
void restore_drop(Restore *restore);
void restore_forget(Restore *restore);
