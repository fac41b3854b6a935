/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/endpoint.h"
#include "report/metrics.h"
#include "report/summary.h"

typedef struct Ledger Ledger;
typedef struct LedgerExits LedgerExits;

/*
 * The shared memory that outlives a handler or a master that is killed, a slot for each connection.
 *
 * Handlers write one part, LedgerEntry and LedgerExits. A handler that a peer has taken over can
 * write any number there, to any slot: the master reports these numbers and never relies on them.
 * Masters write the other part, LedgerFacts and LedgerCounts; their keepers read it and write what
 * they have taken (server/keeper.h). It is not mapped in handlers: none can read who else is
 * connected.
 */

/* In a cache line of its own, so that handlers that count do not slow each other down. */
typedef struct LedgerEntry {
        _Alignas(64) _Atomic uint64_t bytes; /* echoed */
        _Atomic uint32_t reason; /* why the connection ended, an EndReason plus 1; 0 before that */
        _Atomic uint32_t announced_before; /* private to the ledger */
} LedgerEntry;

/* The state of a connection for its master. */
typedef enum LedgerState {
        LEDGER_SERVED,  /* its bytes are echoed */
        LEDGER_SILENT,  /* its PROXY header is not there yet */
        LEDGER_REFUSED, /* its announced peer was refused; it is about to end */
} LedgerState;

typedef struct LedgerFacts {
        uint64_t cookie;  /* of the connection (SO_COOKIE, socket(7)); 0 for a free slot */
        uint64_t started; /* when it was accepted */
        Address peer;
        Address proxy;  /* that has announced the peer; all zeros for none */
        uint32_t state; /* a LedgerState */
        pid_t handler;
        _Atomic uint64_t kept; /* the cookie, once the keeper may have stored the connection */
        uint32_t begun;        /* not 0 once a handler may have read from the peer */
        char listener[ENDPOINT_TEXT_SIZE]; /* the address that it came in by */
} LedgerFacts;

typedef struct LedgerCounts {
        uint64_t started; /* when counting began */
        uint64_t peak;    /* the most connections that ever had a handler at once */
        MetricsCounts metrics;
        Tally lost; /* records that the run neither wrote nor counted in a record */
} LedgerCounts;

enum {
        LEDGER_MOST = 1 << 20, /* slots */
};

/*
 * ledger_new: Creates a ledger of @slots slots, 1 to LEDGER_MOST, whose counting begins at @now.
 *
 * Returns 0 and sets @ret_ledger, which the caller frees with ledger_free(); or a negative errno.
 */
int ledger_new(uint32_t slots, uint64_t now, Ledger **ret_ledger);
Ledger *ledger_free(Ledger *ledger);

/* ledger_take_bundle: Returns a bundle (bundle.h) with both parts, for systemd's store, which the
 * caller closes; or a negative errno. Succeeds once: the master needs no descriptor of them
 * afterwards. ledger_is_taken: Returns whether it has succeeded. */
int ledger_take_bundle(Ledger *ledger);
bool ledger_is_taken(const Ledger *ledger);

/*
 * ledger_share: Lets child processes that are forked from now on inherit the masters' part when
 * @shared, and keeps it out of them otherwise, as in the beginning.
 *
 * Returns 0, or a negative errno of madvise(2).
 */
int ledger_share(Ledger *ledger, bool shared);

/*
 * ledger_open: Maps the ledger of an earlier run from its @bundle, for reading. Handlers can have
 * written any number to their part, and may still do so; the sizes are sealed.
 *
 * Returns 0 and sets @ret_ledger, which the caller frees with ledger_free(); -EBADMSG when @bundle
 * is no ledger or one of another version; or another negative errno.
 */
int ledger_open(int bundle, Ledger **ret_ledger);

/* ledger_slots: Returns the number of slots. ledger_entry, ledger_facts: Return the two parts of
 * @slot, 0 to the number of slots less 1. ledger_counts: Returns the counts. All of an earlier
 * run's ledger are for reading only. */
uint32_t ledger_slots(const Ledger *ledger);
LedgerEntry *ledger_entry(const Ledger *ledger, uint32_t slot);
LedgerFacts *ledger_facts(const Ledger *ledger, uint32_t slot);
LedgerCounts *ledger_counts(const Ledger *ledger);

/*
 * ledger_exits: Returns the list of announcements, for handlers.
 *
 * ledger_announce_exit: Announces that the handler that uses @entry is about to exit. Runs in the
 * handler, which has no Ledger.
 *
 * ledger_take_exits: Takes all announcements since the last call, up to @most. The slots are hints:
 * they are below ledger_slots(), and a compromised handler can announce any of them, any number of
 * times. Returns how many there are in @ret_slots.
 */
LedgerExits *ledger_exits(const Ledger *ledger);
void ledger_announce_exit(LedgerExits *exits, LedgerEntry *entry);
uint32_t ledger_take_exits(Ledger *ledger, uint32_t *ret_slots, uint32_t most);
