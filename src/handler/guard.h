/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "lib/address.h"

typedef struct Guard Guard;

/*
 * Decides which datagrams are answered: an echo over UDP answers whoever the source address names.
 */

/* Why a datagram is answered or refused: a closed list, the same in the counts and the records. */
typedef enum GuardVerdict {
        GUARD_ANSWER,
        GUARD_SOURCE,      /* its source is not the address of one other host, or is none at all */
        GUARD_DESTINATION, /* it was sent to many hosts at once */
        GUARD_PORT,        /* its source port is that of a service */
        GUARD_SELF,        /* it comes from the port that it went to */
        GUARD_RATE,        /* its source has sent too many */
        GUARD_OVERALL,     /* all sources together have sent too many */
        GUARD_VERDICTS,
} GuardVerdict;

/* Where a datagram came from and went to. */
typedef struct GuardRequest {
        Address source;      /* AF_UNSPEC when it has none */
        Address destination; /* the address in the datagram, and the port of the socket */
        Address local;       /* the address to answer from: another one after a broadcast */
        uint32_t interface;  /* that it came in by; 0 when unknown */
} GuardRequest;

enum {
        GUARD_RATE_MAXIMUM = 1000000,
        /* Sources that a guard remembers. */
        GUARD_SOURCES = 16384,
};

/*
 * guard_check: Returns GUARD_ANSWER when the addresses and ports of @request allow an answer, or
 * which of them forbids it:
 *
 * - a source that is multicast, broadcast, reserved or unspecified (RFC 1122, 3.2.1.3; RFC 4291,
 *   2.5); the destination itself, or a loopback address, that came in by another interface than lo;
 *   or a loopback address, if the interface is unknown, that went to an address of another kind;
 * - a destination that is multicast or broadcast;
 * - a source port below 1024, or 2049 (NFS), where services answer;
 * - the port that the datagram went to, where another service of the kind may answer.
 */
GuardVerdict guard_check(const GuardRequest *request);

/*
 * guard_new: Creates the limits for @per_second datagrams of each source, 1 to GUARD_RATE_MAXIMUM,
 * with a burst of twice as many, and for a hundred times as many of all sources together, of which
 * a part is kept for known sources and for quiet ones; 0 sets no limits. Allocates all memory that
 * the guard ever uses.
 *
 * Returns 0 and sets @ret_guard, which the caller frees with guard_free(); or a negative errno.
 */
int guard_new(uint32_t per_second, Guard **ret_guard);
Guard *guard_free(Guard *guard);

/*
 * guard_charge: Charges @source for an answer at @now, never before the last call's.
 *
 * Returns GUARD_ANSWER; or GUARD_RATE or GUARD_OVERALL when a limit forbids the answer, which then
 * costs nothing.
 */
GuardVerdict guard_charge(Guard *guard, Source source, uint64_t now);
