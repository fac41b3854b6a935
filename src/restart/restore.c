/* SPDX-License-Identifier: MIT */
#include "restart/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/end_reason.h"
#include "lib/hashtable.h"
#include "restart/bundle.h"
#include "restart/fdstore.h"
#include "restart/handover.h"
#include "restart/unsent.h"

/* A connection that was stored, with what else is known of it. */
typedef struct Resumed {
        int *pending;             /* in what was stored; or NULL */
        const RosterSlot *before; /* or NULL */
        bool twice;               /* this is not the first time */
        int pack;                 /* of the chunk that begins here, or -1 */
        uint32_t slot;            /* in the roster of this master */
} Resumed;

/*
 * A process is forked with copies of all descriptors, and closes them: done with thousands of
 * connections open, once for each of them, that takes most of the time. So they are put into packs,
 * and only those of one pack are open at a time.
 */
enum {
        CHUNK = STORE_MOST / 2, /* connections, each with what is pending */
};

static TableKey cookie_key(uint64_t cookie) {
        return (TableKey){ .low = cookie };
}

/* Has each connection found by its cookie. It is stored twice if a master was killed while it took
 * it back: in the pack from before, and by its handler. Returns NULL without memory. */
static Table *resume_index(const Stored *stored, Resumed *resumed) {
        Table *table;

        if (table_new(stored->n_connections + 1, &table) < 0)
                return NULL;
        for (uint32_t i = 0; i < stored->n_connections; i++) {
                const TableKey key = cookie_key(socket_cookie(stored->connections[i]));

                resumed[i] = (Resumed){ .twice = table_find(table, key) != NULL,
                                        .pack = -1,
                                        .slot = ROSTER_NONE };
                if (!resumed[i].twice)
                        (void)table_add(table, key, i);
        }
        return table;
}

static void resume_match_pendings(const Stored *stored, Table *table, Resumed *resumed) {
        for (uint32_t i = 0; i < stored->n_pendings; i++) {
                const uint32_t *index;
                uint64_t cookie;

                if (pending_read(stored->pendings[i], NULL, 0, &cookie) < 0)
                        continue;
                index = table_find(table, cookie_key(cookie));
                if (index != NULL)
                        resumed[*index].pending = &stored->pendings[i];
        }
}

/* Writes the record of a connection that ended while there was no master. */
static void resume_bury(Roster *roster, const RosterSlot *slot, Journal *journal, uint64_t now) {
        /* Handlers may have written any number. */
        const uint32_t reason = slot->reason;
        const int exit_code =
                        reason >= 1 && reason <= REASON_COUNT ? (int)reason - 1 : REASON_FAILED;
        char peer[ADDRESS_TEXT_SIZE];

        address_format(&slot->peer, peer);
        roster_counts(roster)->bytes += slot->bytes;
        journal_write(journal,
                      &(Record){ .kind = RECORD_CLOSED,
                                 .peer = peer,
                                 .listener = LISTENER_GONE,
                                 .handler_pid = (uint64_t)slot->handler,
                                 .bytes = slot->bytes,
                                 .duration_usec = now - clock_earlier(now, slot->started_usec),
                                 .reason = reason_text(reason_from_exit_code(exit_code)),
                                 .live = roster_live(roster) },
                      now);
}

/* Finds what the roster had of each connection. A slot that has none left is of a connection that
 * ended. */
static void resume_match_slots(Roster *roster, const RosterImage *image, uint32_t n_slots,
                               Table *table, Resumed *resumed, Journal *journal, uint64_t now) {
        RosterCounts *counts = roster_counts(roster);

        *counts = *roster_image_counts(image);
        counts->started_usec = clock_earlier(counts->started_usec, now);
        for (uint32_t i = 0; i < n_slots; i++) {
                const RosterSlot *slot = roster_image_slot(image, i);
                const uint32_t *index =
                                slot->cookie != 0 ? table_find(table, cookie_key(slot->cookie))
                                                  : NULL;

                if (index != NULL)
                        resumed[*index].before = slot;
                else if (slot->cookie != 0)
                        resume_bury(roster, slot, journal, now);
        }
}

static uint32_t chunk_end(const Stored *stored, uint32_t first) {
        return stored->n_connections - first < CHUNK ? stored->n_connections : first + CHUNK;
}

/* Where the descriptors of a chunk are, in an order of its own. Returns how many. */
static size_t chunk_list(const Stored *stored, const Resumed *resumed, uint32_t first,
                         int *ret_fds[static STORE_MOST]) {
        size_t n = 0;

        for (uint32_t i = first; i < chunk_end(stored, first); i++) {
                ret_fds[n++] = &stored->connections[i];
                if (resumed[i].pending != NULL)
                        ret_fds[n++] = resumed[i].pending;
        }
        return n;
}

static void chunk_close(const Stored *stored, const Resumed *resumed, uint32_t first) {
        int *fds[STORE_MOST];
        const size_t n = chunk_list(stored, resumed, first, fds);

        for (size_t i = 0; i < n; i++) {
                close(*fds[i]);
                *fds[i] = -1;
        }
}

/* What cannot be packed stays open. */
static void chunk_pack(const Stored *stored, Resumed *resumed, uint32_t first) {
        int *fds[STORE_MOST], copies[STORE_MOST];
        const size_t n = chunk_list(stored, resumed, first, fds);

        for (size_t i = 0; i < n; i++)
                copies[i] = *fds[i];
        resumed[first].pack = pack_new(copies, n);
        if (resumed[first].pack >= 0)
                chunk_close(stored, resumed, first);
}

static void chunk_unpack(const Stored *stored, const Resumed *resumed, uint32_t first) {
        int *fds[STORE_MOST], copies[STORE_MOST];
        const size_t n = chunk_list(stored, resumed, first, fds);

        if (resumed[first].pack < 0)
                return;
        if (pack_open(resumed[first].pack, copies) == (int)n)
                for (size_t i = 0; i < n; i++)
                        *fds[i] = copies[i];
        close(resumed[first].pack);
}

/* Enters everything into the roster, which then takes the place of the stored one. No handler has
 * counted anything yet: whenever this master is killed, what is stored has all counts. Returns how
 * many connections there are. */
static uint32_t resume_enter(Connections *connections, const Stored *stored, Resumed *resumed,
                             uint64_t now) {
        int fd = roster_take_fd(connections_roster(connections));
        uint32_t n = 0;

        for (uint32_t i = 0; i < stored->n_connections; i++)
                if (!resumed[i].twice) {
                        resumed[i].slot = connections_adopt(connections, stored->connections[i],
                                                            resumed[i].before, now);
                        n++;
                }
        if (fd >= 0) {
                stored_replace_roster(stored, fd);
                close(fd);
        }
        return n;
}

static void resume_start(Connections *connections, const Stored *stored, Resumed *resumed,
                         uint64_t now) {
        for (uint32_t first = 0; first < stored->n_connections; first += CHUNK)
                chunk_pack(stored, resumed, first);
        for (uint32_t first = 0; first < stored->n_connections; first += CHUNK) {
                chunk_unpack(stored, resumed, first);
                for (uint32_t i = first; i < chunk_end(stored, first); i++)
                        connections_start(connections, resumed[i].slot, stored->connections[i],
                                          resumed[i].pending != NULL ? *resumed[i].pending : -1,
                                          now);
                chunk_close(stored, resumed, first);
        }
}

static RosterImage *resume_open_roster(const Stored *stored, Journal *journal, uint64_t now,
                                       uint32_t *ret_slots) {
        RosterImage *image = NULL;

        if (stored->roster >= 0 && roster_image_open(stored->roster, &image, ret_slots) < 0)
                journal_write(journal, &(Record){ .kind = RECORD_RECOUNTED }, now);
        return image;
}

int resume(Connections *connections, Stored *stored, Journal *journal) {
        const uint64_t now = clock_now();
        Resumed *resumed = calloc(stored->n_connections + 1, sizeof *resumed);
        Table *table = resumed != NULL ? resume_index(stored, resumed) : NULL;
        RosterImage *image;
        uint32_t n_slots = 0, n;

        if (table == NULL) {
                free(resumed);
                return -ENOMEM;
        }
        resume_match_pendings(stored, table, resumed);
        image = resume_open_roster(stored, journal, now, &n_slots);
        if (image != NULL)
                resume_match_slots(connections_roster(connections), image, n_slots, table, resumed,
                                   journal, now);
        table_free(table);
        n = resume_enter(connections, stored, resumed, now);
        roster_image_free(image, n_slots);
        resume_start(connections, stored, resumed, now);
        free(resumed);
        stored_forget(stored);
        if (n > 0)
                journal_write(journal, &(Record){ .kind = RECORD_RESUMED, .live = n }, now);
        return 0;
}
