/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct VolleyEntry VolleyEntry;

/* The results of a number of datagrams. Each sent one is exactly one of answered, late, changed,
 * rejected, open, and lost (volley_lost()). */
typedef struct VolleyCounts {
        uint64_t sent;
        uint64_t answered; /* intact, in time */
        uint64_t late;     /* intact, after the timeout */
        uint64_t changed;  /* the first answer had other bytes */
        uint64_t rejected; /* an ICMP error, or this machine's refusal to send */
        uint64_t open;     /* not answered yet, before the timeout */

        /* Of the answers: a further one to the same datagram; the first one after an answer to a
         * later datagram (RFC 4737); and an answer to none of the datagrams. */
        uint64_t duplicated;
        uint64_t reordered;
        uint64_t unrecognized;
        /* The interarrival jitter of the round trips (RFC 3550, 6.4.1) in nanoseconds. */
        double jitter;
} VolleyCounts;

typedef enum VolleyVerdict {
        VOLLEY_ANSWERED,
        VOLLEY_LATE,
        VOLLEY_CHANGED,
        VOLLEY_DUPLICATED,
        VOLLEY_UNRECOGNIZED, /* the datagram was never sent, or too long ago */
} VolleyVerdict;

typedef struct VolleyAnswer {
        VolleyVerdict verdict;
        bool reordered;
        /* The answer revokes the error message about its datagram, with this reason. */
        bool revokes;
        unsigned reason;
        /* The instant at which the datagram was sent, and the nanoseconds of the round trip; 0 if
         * unrecognized. */
        uint64_t sent;
        uint64_t time;
} VolleyAnswer;

/* Counts what happens to datagrams. They are numbered from 0 in the order of sending. */
typedef struct Volley {
        VolleyCounts counts;
        uint64_t timeout;
        /* The last datagrams, and their number, a power of two. */
        VolleyEntry *entries;
        size_t capacity;
        uint64_t oldest;  /* no datagram before this one is open */
        uint64_t next;    /* the number behind the latest datagram that has an answer */
        uint64_t transit; /* the last round trip; 0 before the first */
} Volley;

/*
 * volley_init: Prepares @ret_volley, which remembers the last @capacity datagrams, a power of two:
 * answers to earlier ones are unrecognized. A datagram is open for @timeout nanoseconds; 0 for no
 * limit. The caller calls volley_deinit().
 *
 * Returns 0, or -ENOMEM.
 */
int volley_init(Volley *ret_volley, size_t capacity, uint64_t timeout);
void volley_deinit(Volley *volley);

/*
 * volley_send: Counts a datagram sent at @now, never before the last one. Returns its number.
 *
 * volley_receive: Counts an answer to the datagram @number at @now; @intact if it has the same
 * bytes.
 */
uint64_t volley_send(Volley *volley, uint64_t now);
VolleyAnswer volley_receive(Volley *volley, uint64_t number, uint64_t now, bool intact);

/* volley_reject: Counts an error message about the datagram @number for @reason, 0 to 7. Returns
 * false and counts nothing if it has an answer or an earlier message, or was sent too long ago. A
 * later answer revokes the message. */
bool volley_reject(Volley *volley, uint64_t number, unsigned reason);

/*
 * volley_expire: Finds a datagram that is open at @now longer than the timeout.
 *
 * Returns true and sets @ret_number: the datagram is lost unless an answer comes late. Returns
 * false for none. The caller repeats it.
 */
bool volley_expire(Volley *volley, uint64_t now, uint64_t *ret_number);

/*
 * volley_deadline: Returns the instant at which volley_expire() finds the next one; CLOCK_NEVER for
 * none.
 *
 * volley_find_open: Finds the datagram that has been open for the longest time. Returns true and
 * sets @ret_number, or returns false.
 */
uint64_t volley_deadline(Volley *volley);
bool volley_find_open(Volley *volley, uint64_t *ret_number);

/*
 * volley_lost: Returns the number of datagrams without an answer and without an error message.
 *
 * volley_loss: Returns their share of those that are not open, from 0 to 1; NaN if all are open.
 *
 * volley_failed: Returns the number of all that are neither answered nor open. It can fall: a later
 * answer revokes an error message.
 */
uint64_t volley_lost(const VolleyCounts *counts);
double volley_loss(const VolleyCounts *counts);
uint64_t volley_failed(const VolleyCounts *counts);

/* volley_add: Adds @other to @counts; the jitter becomes the mean, weighted by answers. */
void volley_add(VolleyCounts *counts, const VolleyCounts *other);
