/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "server/listeners.h"

typedef struct Roster Roster;
typedef struct RosterEntry RosterEntry;
typedef struct RosterSlot RosterSlot;
typedef struct RosterCounts RosterCounts;
typedef struct RosterExits RosterExits;
typedef struct RosterImage RosterImage;

/*
 * The live handlers: a slot for each, found by its pid, and the counts of all there were.
 *
 * What the master decides by is in memory that handlers do not have: RosterEntry. What is to
 * outlive a handler that is killed, or a master, is in a memfd that handlers share: RosterImage. A
 * handler could write any number there, to any slot: they are reported, never relied on.
 */
struct RosterEntry {
        Address peer;
        char peer_text[ADDRESS_TEXT_SIZE];
        const Listener *listener; /* that accepted it */
        pid_t handler;            /* 0 while the slot is claimed and nothing forked yet */
        bool stored;              /* see roster_mark_stored() */
        uint64_t started_usec;    /* when it was accepted, CLOCK_MONOTONIC */
        uint32_t next;            /* private to the roster */
        uint32_t previous;        /* private to the roster */
};

/* What the next master is to know of a connection; in a cache line of its own, so that handlers
 * that count do not slow each other down. */
struct RosterSlot {
        _Alignas(64) _Atomic uint64_t bytes; /* echoed; the handler counts here */
        _Atomic uint32_t reason; /* why it ended plus 1, which the handler says here; 0 before that
                                  */
        pid_t handler;
        uint64_t cookie; /* the connection's SO_COOKIE; 0 for a free slot */
        uint64_t started_usec;
        Address peer;
        _Atomic uint32_t told_before; /* private to the roster */
};

/* The handlers that are about to exit. */
struct RosterExits {
        _Atomic uint32_t last; /* private to the roster */
};

struct RosterCounts {
        uint64_t started_usec; /* when counting began, CLOCK_MONOTONIC */
        uint64_t served;
        uint64_t refused;
        uint64_t peak;  /* the most that ever had a handler at once */
        uint64_t bytes; /* of connections that have ended */
};

enum {
        ROSTER_NONE = UINT32_MAX, /* no slot */
        ROSTER_MOST = 1 << 20,    /* slots */
};

/*
 * roster_new: a roster of @slots slots, 1 to ROSTER_MOST. All its memory is allocated here.
 *
 * Returns 0 and sets @ret_roster, which the caller frees with roster_free(); or a negative errno.
 */
int roster_new(uint32_t slots, Roster **ret_roster);

/*
 * roster_free: frees @roster, which may be NULL. Returns NULL.
 */
Roster *roster_free(Roster *roster);

/*
 * roster_claim: takes a free slot for the connection of @peer with the given @cookie (SO_COOKIE,
 * socket(7)), which
 * @listener accepted at @now_usec.
 *
 * Returns the slot, or ROSTER_NONE when all are taken. It is given back with roster_release() or
 * roster_leave().
 */
uint32_t roster_claim(Roster *roster, const Address *peer, uint64_t cookie,
                      const Listener *listener, uint64_t now_usec);

/*
 * roster_assign: makes @handler, just forked, the handler of the claimed @slot.
 */
void roster_assign(Roster *roster, uint32_t slot, pid_t handler);

/*
 * roster_release: frees @slot: its connection has ended. The bytes echoed are added to the counts,
 * also those of an earlier master's handler where this one has none for it.
 *
 * roster_leave: frees @slot, but leaves it in the image for the next master: its connection was
 * handed over.
 */
void roster_release(Roster *roster, uint32_t slot);
void roster_leave(Roster *roster, uint32_t slot);

/*
 * roster_mark_stored: systemd's store has the connection in @slot, however its handler ends.
 */
void roster_mark_stored(Roster *roster, uint32_t slot);

/*
 * roster_find: the slot of the handler with process ID @handler, or ROSTER_NONE.
 */
uint32_t roster_find(Roster *roster, pid_t handler);

/*
 * roster_next: the slot after @slot among those taken, the longest taken first; @slot ROSTER_NONE
 * begins.
 *
 * Returns the slot, or ROSTER_NONE after the last.
 */
uint32_t roster_next(const Roster *roster, uint32_t slot);

/*
 * roster_entry: what is known of the connection in @slot; valid until the slot is given back.
 */
const RosterEntry *roster_entry(const Roster *roster, uint32_t slot);

/*
 * roster_slot: the shared part of @slot, for its handler.
 */
RosterSlot *roster_slot(Roster *roster, uint32_t slot);

/*
 * roster_exits: where handlers tell that they are about to exit.
 *
 * roster_tell_exit: tells so of the handler whose shared part is @slot; called by the handler,
 * which does not have the roster.
 *
 * roster_take_exits: who has told since the last time: sets up to @most of @ret_slots, any slots of
 * the roster, maybe the same one several times: a handler is not believed.
 *
 * Returns how many.
 */
RosterExits *roster_exits(Roster *roster);
void roster_tell_exit(RosterExits *exits, RosterSlot *slot);
uint32_t roster_take_exits(Roster *roster, uint32_t *ret_slots, uint32_t most);

/*
 * roster_live: how many slots are taken. roster_counts: the counts, for reading and writing.
 */
uint32_t roster_live(const Roster *roster);
RosterCounts *roster_counts(Roster *roster);

/*
 * roster_total_bytes: bytes echoed on all connections, live ones included. Looks at every live
 * slot.
 */
uint64_t roster_total_bytes(Roster *roster);

/*
 * roster_take_fd: the memfd of the image, which becomes the caller's; -1 the second time. Sealed
 * against another size.
 */
int roster_take_fd(Roster *roster);

/*
 * roster_image_open: maps the image of another master's roster, from its memfd @fd, for reading.
 * Handlers may have written anything there, and may still do so, but its size stays.
 *
 * Returns 0 and sets @ret_image, which the caller frees with roster_image_free(), and its number of
 * slots @ret_slots; -EBADMSG when it is no such image or one of another version; or another
 * negative errno.
 */
int roster_image_open(int fd, RosterImage **ret_image, uint32_t *ret_slots);
RosterImage *roster_image_free(RosterImage *image, uint32_t slots);

/*
 * roster_image_slot: one slot of @image. roster_image_counts: its counts.
 */
const RosterSlot *roster_image_slot(const RosterImage *image, uint32_t slot);
const RosterCounts *roster_image_counts(const RosterImage *image);

/*
 * roster_resume: gives the connection in @slot the start and the bytes that @before has of it.
 */
void roster_resume(Roster *roster, uint32_t slot, const RosterSlot *before);
