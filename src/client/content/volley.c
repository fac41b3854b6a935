/* SPDX-License-Identifier: MIT */
/*
 * Decides what happened to each datagram of a run.
 *
 * A ring remembers the instant and the state of the last datagrams. A datagram is open first. An
 * answer ends it, an error message rejects it, and at the timeout it expires. Expired and rejected
 * are not final, since an answer may still come: it is late then, not lost. The first answer
 * decides, all others are duplicated.
 *
 * Datagrams expire in the order of sending, so one number suffices to find the next one, whatever
 * the rate. Losses need no count of their own: they are all that remains.
 *
 * The jitter is that of RTP (RFC 3550, 6.4.1), of round trips instead of one-way transits: the
 * clocks of both ends need not agree.
 *
 * Nothing here may wait, or ask for the time: a test moves its own clock.
 */
#include "client/content/volley.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/clock.h"

enum {
        VOLLEY_OPEN,
        VOLLEY_EXPIRED,
        VOLLEY_REJECTED,
        VOLLEY_DONE,
        /* RFC 3550: "this algorithm is the optimal first-order estimator". */
        VOLLEY_JITTER_GAIN = 16,
};

struct VolleyEntry {
        uint64_t sent : 59;
        uint64_t state : 2;
        uint64_t reason : 3;
};

int volley_init(Volley *ret_volley, size_t capacity, uint64_t timeout) {
        *ret_volley = (Volley){ .timeout = timeout,
                                .entries = calloc(capacity, sizeof(VolleyEntry)),
                                .capacity = capacity };
        return ret_volley->entries == NULL ? -ENOMEM : 0;
}

void volley_deinit(Volley *volley) {
        free(volley->entries);
}

static VolleyEntry *volley_entry(const Volley *volley, uint64_t number) {
        return &volley->entries[number & (volley->capacity - 1)];
}

static bool volley_remembers(const Volley *volley, uint64_t number) {
        return number < volley->counts.sent && volley->counts.sent - number <= volley->capacity;
}

uint64_t volley_send(Volley *volley, uint64_t now) {
        const uint64_t number = volley->counts.sent++;
        VolleyEntry *entry = volley_entry(volley, number);

        /* The ring forgets a datagram. */
        if (number >= volley->capacity && number - volley->capacity >= volley->oldest) {
                volley->counts.open -= entry->state == VOLLEY_OPEN;
                volley->oldest = number - volley->capacity + 1;
        }
        *entry = (VolleyEntry){ .sent = now, .state = VOLLEY_OPEN };
        volley->counts.open++;
        return number;
}

static void volley_time(Volley *volley, uint64_t time) {
        const uint64_t last = volley->transit;
        const uint64_t difference = time > last ? time - last : last - time;

        if (last != 0)
                volley->counts.jitter +=
                                ((double)difference - volley->counts.jitter) / VOLLEY_JITTER_GAIN;
        volley->transit = time;
}

/* Ends the datagram @number with its first answer, whatever the bytes. */
static void volley_end(Volley *volley, uint64_t number, VolleyAnswer *answer) {
        VolleyCounts *counts = &volley->counts;
        VolleyEntry *entry = volley_entry(volley, number);

        answer->revokes = entry->state == VOLLEY_REJECTED;
        answer->reason = entry->reason;
        counts->open -= entry->state == VOLLEY_OPEN;
        counts->rejected -= answer->revokes;
        entry->state = VOLLEY_DONE;

        answer->reordered = number < volley->next;
        counts->reordered += answer->reordered;
        if (!answer->reordered)
                volley->next = number + 1;
}

VolleyAnswer volley_receive(Volley *volley, uint64_t number, uint64_t now, bool intact) {
        VolleyCounts *counts = &volley->counts;
        VolleyAnswer answer = { .verdict = VOLLEY_UNRECOGNIZED };
        VolleyEntry *entry = volley_entry(volley, number);

        if (!volley_remembers(volley, number)) {
                counts->unrecognized++;
                return answer;
        }

        answer.sent = entry->sent;
        answer.time = now > entry->sent ? now - entry->sent : 1;
        /* A second answer with other bytes is not the network's copy of the first. */
        if (entry->state == VOLLEY_DONE && !intact) {
                counts->unrecognized++;
                return answer;
        }
        if (entry->state == VOLLEY_DONE) {
                counts->duplicated++;
                answer.verdict = VOLLEY_DUPLICATED;
                return answer;
        }
        volley_end(volley, number, &answer);
        if (!intact) {
                counts->changed++;
                answer.verdict = VOLLEY_CHANGED;
                return answer;
        }

        volley_time(volley, answer.time);
        answer.verdict = volley->timeout > 0 && answer.time >= volley->timeout ? VOLLEY_LATE
                                                                               : VOLLEY_ANSWERED;
        counts->late += answer.verdict == VOLLEY_LATE;
        counts->answered += answer.verdict == VOLLEY_ANSWERED;
        return answer;
}

bool volley_reject(Volley *volley, uint64_t number, unsigned reason) {
        VolleyEntry *entry = volley_entry(volley, number);

        if (!volley_remembers(volley, number) || entry->state == VOLLEY_REJECTED ||
            entry->state == VOLLEY_DONE)
                return false;
        volley->counts.open -= entry->state == VOLLEY_OPEN;
        volley->counts.rejected++;
        entry->state = VOLLEY_REJECTED;
        entry->reason = reason & 7;
        return true;
}

bool volley_find_open(Volley *volley, uint64_t *ret_number) {
        while (volley->oldest < volley->counts.sent &&
               volley_entry(volley, volley->oldest)->state != VOLLEY_OPEN)
                volley->oldest++;
        *ret_number = volley->oldest;
        return volley->oldest < volley->counts.sent;
}

uint64_t volley_deadline(Volley *volley) {
        uint64_t number;

        if (volley->timeout == 0 || !volley_find_open(volley, &number))
                return CLOCK_NEVER;
        return volley_entry(volley, number)->sent + volley->timeout;
}

bool volley_expire(Volley *volley, uint64_t now, uint64_t *ret_number) {
        if (volley_deadline(volley) > now)
                return false;
        *ret_number = volley->oldest++;
        volley_entry(volley, *ret_number)->state = VOLLEY_EXPIRED;
        volley->counts.open--;
        return true;
}

uint64_t volley_failed(const VolleyCounts *counts) {
        return counts->sent - counts->answered - counts->open;
}

uint64_t volley_lost(const VolleyCounts *counts) {
        return volley_failed(counts) - counts->late - counts->changed - counts->rejected;
}

double volley_loss(const VolleyCounts *counts) {
        const uint64_t over = counts->sent - counts->open;

        return over == 0 ? NAN : (double)volley_lost(counts) / (double)over;
}

void volley_add(VolleyCounts *counts, const VolleyCounts *other) {
        const double mine = (double)(counts->answered + counts->late);
        const double its = (double)(other->answered + other->late);

        if (its > 0)
                counts->jitter = (counts->jitter * mine + other->jitter * its) / (mine + its);
        counts->sent += other->sent;
        counts->answered += other->answered;
        counts->late += other->late;
        counts->changed += other->changed;
        counts->rejected += other->rejected;
        counts->open += other->open;
        counts->duplicated += other->duplicated;
        counts->reordered += other->reordered;
        counts->unrecognized += other->unrecognized;
}
