/* SPDX-License-Identifier: MIT */
/*
 * Finds the connections that earlier runs stored. Most often there is one earlier run, which has
 * stored bundles of connections and a ledger. A master that was killed while it restored leaves
 * two: the bundles that it was passed, and those of its own handlers.
 *
 * - Newest run first. A connection, known by its cookie, can be in a bundle of each run. Its newest
 *   copy counts, with the unsent bytes of that copy.
 * - The newest ledger has an entry for each connection of its run. A connection that is only in an
 *   older bundle, and for which the master of the newer run had begun to fork a handler, has ended
 *   with that handler: bytes may be lost, so it must not be served again. The same holds for one
 *   that the newer ledger does not have any more.
 * - An entry without any bundle is a connection that ended while there was no master.
 * - A run stores its ledger before its first handler starts. With a ledger, no later run is real: a
 *   compromised handler has stored that name. It can do so outside of the sandbox, or when a client
 *   passes it a socket for systemd. The master removes the name before it stores anything itself,
 *   as the name can be its own. Only then does the number of this run follow the newest.
 *
 * A process forks with duplicates of all its descriptors, so with thousands open each fork would
 * take long. restore_next() opens one bundle at a time, as often as the master goes over all of
 * them. In the end exactly the names that systemd passed are removed from the store: what the
 * keeper stores meanwhile has the number of this run in its name.
 *
 * What mpecho 0.1.0 stored has another form (legacy.h) and counts as the oldest run.
 */
#include "restart/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/descriptor.h"
#include "lib/discard.h"
#include "lib/hashtable.h"
#include "lib/mapping.h"
#include "lib/socket.h"
#include "restart/bundle.h"
#include "restart/fdstore.h"
#include "restart/legacy.h"
#include "restart/unsent.h"

struct RestoreItem {
        FdstoreKind kind;
        uint64_t run;
        int fd;
        const char *name;
        uint32_t n; /* connections in it */
};

/* A connection in a bundle. */
struct RestoreFound {
        uint64_t cookie;
        uint64_t run;
        uint32_t slot; /* of the ledger, plus 1; 0 for none */
        bool skip;
        bool ended;
};

/* The bundle that is open, and how far restore_next() has come. */
struct RestoreOpen {
        size_t item;
        uint32_t index;
        uint32_t n; /* connections of the item that were returned */
        bool opened;
        int fds[BUNDLE_MOST]; /* those that are closed are -1 */
        int n_fds;
        int position;
        int converted; /* unsent bytes of mpecho 0.1.0 as a memfd of today, or -1 */
};

int restore_init(Restore *restore, size_t most) {
        *restore = (Restore){ .room = most };
        restore->items = calloc(most + 1, sizeof *restore->items);
        restore->open = calloc(1, sizeof *restore->open);
        if (restore->items == NULL || restore->open == NULL)
                return -ENOMEM;
        restore->open->converted = -1;
        return 0;
}

static void open_close(struct RestoreOpen *open) {
        for (int i = 0; i < open->n_fds; i++)
                descriptor_close(open->fds[i]);
        open->converted = descriptor_close(open->converted);
        open->n_fds = open->position = 0;
        open->opened = false;
}

static void restore_close(Restore *restore) {
        Discard discard = { .waits = true };

        if (restore->open != NULL)
                open_close(restore->open);
        for (size_t i = 0; i < restore->n; i++)
                discard_add(&discard, restore->items[i].fd);
        discard_close(&discard);
        restore->n = 0;
}

void restore_deinit(Restore *restore) {
        restore_close(restore);
        restore->ledger = ledger_free(restore->ledger);
        free(restore->items);
        mapping_free(restore->found, (restore->n_found + 1) * sizeof *restore->found);
        free(restore->ended);
        free(restore->open);
        *restore = (Restore){};
}

/* Opens a bundle, or one connection of mpecho 0.1.0. Returns how many descriptors it sets, or a
 * negative errno. */
static int item_open(const RestoreItem *item, int ret_fds[static BUNDLE_MOST]) {
        if (item->kind == FDSTORE_OLD_CONNECTION && socket_is_stream(item->fd)) {
                ret_fds[0] = dup(item->fd);
                return ret_fds[0] < 0 ? -EMFILE : 1;
        }
        return bundle_open(item->fd, ret_fds);
}

/* Counts the connections of a bundle. Returns false when it is no bundle. */
static bool item_count(RestoreItem *item) {
        int fds[BUNDLE_MOST], n;

        n = item_open(item, fds);
        if (n < 0)
                return false;
        for (int i = 0; i < n; i++) {
                item->n += socket_is_stream(fds[i]);
                close(fds[i]);
        }
        return true;
}

static bool item_is_right(Restore *restore, RestoreItem *item) {
        Ledger *ledger;

        switch (item->kind) {
        case FDSTORE_CONNECTION:
        case FDSTORE_OLD_CONNECTION:
                return item_count(item);
        case FDSTORE_OLD_UNSENT:
                return legacy_is_unsent(item->fd);
        case FDSTORE_OLD_LEDGER:
                restore->ledger_lost = true;
                return true;
        case FDSTORE_LEDGER:
                if (ledger_open(item->fd, &ledger) < 0) {
                        restore->ledger_lost = true;
                        return true;
                }
                if (restore->ledger == NULL || item->run > restore->ledger_run) {
                        restore->ledger = ledger_free(restore->ledger);
                        restore->ledger = ledger;
                        restore->ledger_run = item->run;
                } else {
                        ledger_free(ledger);
                }
                return true;
        default:
                return false;
        }
}

bool restore_take(Restore *restore, int fd, const char *name) {
        RestoreItem *item = &restore->items[restore->n];

        *item = (RestoreItem){ .fd = fd, .name = name };
        item->kind = fdstore_parse_name(name, &item->run);
        /* No run follows the last number, so none can have that number. */
        if (restore->n == restore->room || item->kind == FDSTORE_STRANGER ||
            item->run == FDSTORE_RUN_MOST || !item_is_right(restore, item))
                return false;
        restore->n_found += item->n;
        restore->n++;
        return true;
}

void restore_note(Restore *restore, const char *name) {
        RestoreItem *item = &restore->items[restore->n];

        if (restore->n == restore->room)
                return;
        *item = (RestoreItem){ .fd = -1, .name = name };
        (void)fdstore_parse_name(name, &item->run);
        if (item->run == FDSTORE_RUN_MOST)
                item->run = 0;
        restore->n++;
}

bool restore_reject(Restore *restore, int *ret_fd, const char **ret_name) {
        for (size_t i = restore->n; restore->ledger != NULL && i-- > 0;) {
                const RestoreItem item = restore->items[i];

                if (item.run <= restore->ledger_run)
                        continue;
                fdstore_remove(item.name);
                restore->n_found -= item.n;
                restore->items[i] = restore->items[--restore->n];
                if (item.fd < 0)
                        continue;
                *ret_fd = item.fd;
                *ret_name = item.name;
                return true;
        }
        return false;
}

/* Orders the newest run first, and a name's bundles together. */
static int item_compare(const void *one, const void *other) {
        const RestoreItem *a = one, *b = other;

        if (a->run != b->run)
                return a->run > b->run ? -1 : 1;
        return strcmp(a->name, b->name);
}

static HashtableKey cookie_key(uint64_t cookie) {
        return (HashtableKey){ .low = cookie };
}

/* Reads the cookies of all connections, and marks all copies of a connection but the newest. */
static void restore_index(Restore *restore, Hashtable *by_cookie) {
        RestoredConnection connection;

        while (restore_next(restore, &connection)) {
                struct RestoreFound *found = &restore->found[connection.index];
                const uint64_t cookie = connection.fd >= 0 ? socket_cookie(connection.fd) : 0;

                found->cookie = cookie;
                found->run = restore->items[restore->open->item].run;
                found->skip = cookie == 0 || hashtable_find(by_cookie, cookie_key(cookie)) != NULL;
                /* There is room for all that were found. */
                if (!found->skip)
                        (void)hashtable_add(by_cookie, cookie_key(cookie), connection.index);
        }
}

/* Finds the entries of the connections, and those that have ended in a run that was killed. */
static void restore_match(Restore *restore, Hashtable *by_cookie) {
        for (uint32_t slot = 0; slot < ledger_slots(restore->ledger); slot++) {
                const uint64_t cookie = ledger_facts(restore->ledger, slot)->cookie;
                const uint32_t *index =
                                cookie != 0 ? hashtable_find(by_cookie, cookie_key(cookie)) : NULL;

                if (index != NULL)
                        restore->found[*index].slot = slot + 1;
                else if (cookie != 0)
                        restore->ended[restore->n_ended++] = slot;
        }
        for (uint32_t i = 0; i < restore->n_found; i++) {
                struct RestoreFound *found = &restore->found[i];

                if (found->skip || found->run > restore->ledger_run)
                        continue;
                /* The run of the ledger has logged its end. */
                if (found->slot == 0)
                        found->skip = true;
                else if (found->run < restore->ledger_run &&
                         ledger_facts(restore->ledger, found->slot - 1)->begun != 0) {
                        found->skip = found->ended = true;
                        restore->ended[restore->n_ended++] = found->slot - 1;
                }
        }
}

int restore_prepare(Restore *restore) {
        Hashtable *by_cookie;

        qsort(restore->items, restore->n, sizeof *restore->items, item_compare);
        restore->run = restore->n > 0 ? restore->items[0].run + 1 : 1;
        restore->found = mapping_new_unforked((restore->n_found + 1) * sizeof *restore->found);
        restore->ended = calloc(restore->ledger != NULL ? ledger_slots(restore->ledger) : 1,
                                sizeof *restore->ended);
        if (restore->found == NULL || restore->ended == NULL ||
            hashtable_new(restore->n_found + 1, &by_cookie) < 0)
                return -ENOMEM;

        restore_index(restore, by_cookie);
        if (restore->ledger != NULL)
                restore_match(restore, by_cookie);
        hashtable_free(by_cookie);
        return 0;
}

/* Returns the unsent bytes that mpecho 0.1.0 stored for the connection @cookie, as a memfd of today
 * that the caller closes; -ENOENT without any, or another negative errno. */
static int restore_find_legacy(const Restore *restore, uint64_t cookie) {
        int unsent = -ENOENT;

        for (size_t i = 0; i < restore->n && unsent == -ENOENT; i++)
                if (restore->items[i].kind == FDSTORE_OLD_UNSENT)
                        unsent = legacy_find_unsent(restore->items[i].fd, cookie);
        return unsent;
}

/* Sets the connection at the position of the open bundle, and goes past it. */
static void open_take(Restore *restore, RestoredConnection *ret_connection) {
        const RestoreItem *item = &restore->items[restore->open->item];
        struct RestoreOpen *open = restore->open;

        while (open->position < open->n_fds && !socket_is_stream(open->fds[open->position]))
                open->position++;
        if (open->position < open->n_fds)
                ret_connection->fd = open->fds[open->position++];
        /* Whatever else it is: its handler resets a connection whose unsent bytes it cannot read.
         */
        if (open->position < open->n_fds && !socket_is_stream(open->fds[open->position]))
                ret_connection->unsent = open->fds[open->position++];
        if (item->kind == FDSTORE_OLD_CONNECTION && ret_connection->fd >= 0) {
                descriptor_close(open->converted);
                open->converted = restore_find_legacy(restore, socket_cookie(ret_connection->fd));
                ret_connection->unsent = open->converted;
                /* A handler resets a connection whose unsent bytes are no file. */
                if (open->converted < 0)
                        ret_connection->unsent =
                                        open->converted == -ENOENT ? -1 : ret_connection->fd;
        }
}

bool restore_next(Restore *restore, RestoredConnection *ret_connection) {
        struct RestoreOpen *open = restore->open;

        while (open->item < restore->n && open->n == restore->items[open->item].n) {
                open_close(open);
                open->item++;
                open->n = 0;
        }
        if (open->item == restore->n) {
                open->item = 0;
                open->index = 0;
                return false;
        }

        if (!open->opened) {
                open->n_fds = item_open(&restore->items[open->item], open->fds);
                open->n_fds = open->n_fds < 0 ? 0 : open->n_fds;
                open->opened = true;
        }
        *ret_connection = (RestoredConnection){ .index = open->index, .fd = -1, .unsent = -1 };
        open_take(restore, ret_connection);
        if (restore->found != NULL) {
                const struct RestoreFound *found = &restore->found[open->index];

                ret_connection->skip = found->skip;
                ret_connection->ended = found->ended;
                if (found->slot != 0) {
                        ret_connection->facts = ledger_facts(restore->ledger, found->slot - 1);
                        ret_connection->entry = ledger_entry(restore->ledger, found->slot - 1);
                }
        }
        open->index++;
        open->n++;
        return true;
}

void restore_drop(Restore *restore) {
        restore->found[restore->open->index - 1].skip = true;
}

/* Removes the names of bundles, or those of ledgers. */
static void restore_remove(const Restore *restore, bool ledgers) {
        for (size_t i = 0; i < restore->n; i++) {
                const RestoreItem *item = &restore->items[i];
                const bool is_ledger =
                                item->kind == FDSTORE_LEDGER || item->kind == FDSTORE_OLD_LEDGER;

                if (is_ledger == ledgers &&
                    (i == 0 || strcmp(item->name, restore->items[i - 1].name) != 0))
                        fdstore_remove(item->name);
        }
}

void restore_forget(Restore *restore) {
        /* Without its ledger, a bundle would revive connections that were logged. */
        restore_remove(restore, false);
        restore_remove(restore, true);
        restore_close(restore);
        restore->ledger = ledger_free(restore->ledger);
}
