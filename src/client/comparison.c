/* SPDX-License-Identifier: MIT */
#include "client/comparison.h"

#include <string.h>

enum {
        COMPARISON_CHUNK_SIZE = 16 * 1024,
        /* What pattern_find() looks at. */
        COMPARISON_LOCK_SIZE = 2 * PATTERN_WORD_SIZE,
        /* So many bytes at the very end are hardly there by chance. */
        COMPARISON_SUFFIX_SIZE = 4,
};

/*
 * How a difference ended: @skipped bytes were received that are not where they belong, and the
 * byte that follows them is the one at @place in the pattern.
 */
typedef struct Landing {
        size_t skipped;
        uint64_t place;
} Landing;

void comparison_init(Comparison *comparison, const Pattern *pattern, uint64_t total) {
        *comparison = (Comparison){ .pattern = pattern, .total = total };
}

static uint8_t comparison_byte(const Comparison *comparison, uint64_t place) {
        uint8_t byte;

        pattern_fill(comparison->pattern, place, &byte, 1);
        return byte;
}

static bool comparison_is_permutation(const Comparison *comparison, size_t size) {
        uint64_t counts[UINT8_MAX + 1] = {};

        for (size_t i = 0; i < size; i++) {
                counts[comparison->unknown[i]]++;
                counts[comparison_byte(comparison, comparison->position + i)]--;
        }
        for (size_t i = 0; i <= UINT8_MAX; i++)
                if (counts[i] != 0)
                        return false;
        return true;
}

/* As many bytes as there should be, but others. */
static Fault comparison_judge_in_place(const Comparison *comparison, size_t size) {
        Fault fault = { .size = size,
                        .sent = comparison_byte(comparison, comparison->position),
                        .received = comparison->unknown[0] };

        for (size_t i = 0; i < size; i++)
                fault.bits += (uint64_t)__builtin_popcount(
                                comparison->unknown[i] ^
                                comparison_byte(comparison, comparison->position + i));
        fault.kind = comparison_is_permutation(comparison, size) ? FAULT_REORDERED : FAULT_CHANGED;
        return fault;
}

/*
 * Whether the surplus is what came before it once more. The surplus begins with those bytes before
 * the difference that also follow it, if any.
 */
static bool comparison_is_repetition(const Comparison *comparison, const Landing *landing,
                                     uint64_t surplus) {
        uint64_t first = landing->place - surplus, known = surplus - landing->skipped;

        if (landing->skipped == 0)
                return true;
        if (surplus > landing->place)
                return false;
        for (uint64_t i = 0; i < known; i++)
                if (comparison_byte(comparison, landing->place + i) !=
                    comparison_byte(comparison, first + i))
                        return false;
        for (size_t i = 0; i < landing->skipped; i++)
                if (comparison->unknown[i] != comparison_byte(comparison, first + known + i))
                        return false;
        return true;
}

static Fault comparison_judge(const Comparison *comparison, const Landing *landing) {
        uint64_t expected = comparison->position + landing->skipped;
        Fault fault = {};

        if (landing->place == expected)
                fault = comparison_judge_in_place(comparison, landing->skipped);
        else if (landing->place > expected)
                fault = (Fault){ .kind = FAULT_DROPPED, .size = landing->place - expected };
        else {
                fault.size = expected - landing->place;
                fault.kind = comparison_is_repetition(comparison, landing, fault.size)
                                             ? FAULT_DUPLICATED
                                             : FAULT_INSERTED;
        }
        fault.offset = comparison->received - comparison->unknown_size;
        return fault;
}

/* What was left out turns up later, or what was put in is left out later: it was moved. */
static bool comparison_is_counterpart(const Comparison *comparison, const Fault *later,
                                      const Landing *landing) {
        const Fault *first = &comparison->fault;

        /* Bytes that happen to be equal move the edges of what was left out by a few places. */
        if (first->kind == FAULT_DROPPED)
                return (landing->place + COMPARISON_LOCK_SIZE >= comparison->gap &&
                        landing->place < comparison->gap + first->size) ||
                       ((later->kind == FAULT_INSERTED || later->kind == FAULT_DUPLICATED) &&
                        later->size == first->size);
        return first->kind == FAULT_INSERTED && later->kind == FAULT_DROPPED &&
               later->size == first->size;
}

static void comparison_add(Comparison *comparison, const Landing *landing) {
        Fault fault = comparison_judge(comparison, landing);

        if (comparison->faults++ == 0) {
                comparison->fault = fault;
                comparison->gap = comparison->position;
        } else if (comparison_is_counterpart(comparison, &fault, landing)) {
                comparison->fault.kind = FAULT_REORDERED;
        }
}

/* Looks for a place where the received bytes go on, the last @fresh of which are new. */
static bool comparison_find(Comparison *comparison, size_t fresh, Landing *ret_landing) {
        size_t size = comparison->unknown_size, known = size - fresh;
        size_t from = known < COMPARISON_LOCK_SIZE ? 0 : known - (COMPARISON_LOCK_SIZE - 1);

        for (size_t i = from; i + COMPARISON_LOCK_SIZE <= size; i++)
                if (pattern_find(comparison->pattern, comparison->unknown + i, comparison->total,
                                 &ret_landing->place)) {
                        ret_landing->skipped = i;
                        return true;
                }
        return false;
}

/* Words lie on every eighth byte only: what is in front of the first may belong to it. */
static void comparison_stretch(const Comparison *comparison, Landing *landing) {
        while (landing->skipped > 0 && landing->place > 0 &&
               comparison->unknown[landing->skipped - 1] ==
                               comparison_byte(comparison, landing->place - 1)) {
                landing->skipped--;
                landing->place--;
        }
}

/* Takes bytes while it is not known where they belong; returns how many of @size. */
static size_t comparison_take_lost(Comparison *comparison, const uint8_t *data, size_t size) {
        size_t room = COMPARISON_UNKNOWN_SIZE - comparison->unknown_size;
        size_t before = comparison->unknown_size, n = size < room ? size : room;
        Landing landing;

        if (room == 0) {
                comparison->received += size;
                return size;
        }
        memcpy(comparison->unknown + before, data, n);
        comparison->unknown_size += n;
        if (comparison_find(comparison, n, &landing)) {
                uint64_t next = landing.place + COMPARISON_LOCK_SIZE;

                /* What is behind the place that was found is compared as usual. */
                n = landing.skipped + COMPARISON_LOCK_SIZE - before;
                comparison->unknown_size = before + n;
                comparison->received += n;
                comparison_stretch(comparison, &landing);
                comparison_add(comparison, &landing);
                comparison->position = next;
                comparison->lost = false;
                return n;
        }
        comparison->received += n;
        if (n == room && comparison->faults++ == 0)
                comparison->fault =
                                (Fault){ .kind = FAULT_UNRECOGNIZED,
                                         .offset = comparison->received - COMPARISON_UNKNOWN_SIZE };
        return n;
}

static size_t comparison_take_known(Comparison *comparison, const uint8_t *data, size_t size) {
        uint64_t left = comparison->total - comparison->position;
        uint8_t expected[COMPARISON_CHUNK_SIZE];
        size_t n = size < sizeof expected ? size : sizeof expected, same = 0;

        if (n > left)
                n = (size_t)left;
        pattern_fill(comparison->pattern, comparison->position, expected, n);
        if (memcmp(expected, data, n) == 0)
                same = n;
        while (same < n && expected[same] == data[same])
                same++;
        comparison->received += same;
        comparison->position += same;
        if (same < n || left == 0) {
                comparison->lost = true;
                comparison->unknown_size = 0;
        }
        return same;
}

void comparison_take(Comparison *comparison, const void *data, size_t size) {
        const uint8_t *bytes = data;

        while (size > 0) {
                size_t n = comparison->lost ? comparison_take_lost(comparison, bytes, size)
                                            : comparison_take_known(comparison, bytes, size);

                bytes += n;
                size -= n;
        }
}

/* The last few bytes, too few to find their place: they may be in place, or the pattern's last. */
static Landing comparison_land_at_end(const Comparison *comparison) {
        size_t size = comparison->unknown_size;
        Landing in_place = { .skipped = size, .place = comparison->position + size };
        Landing at_end = { .skipped = size, .place = comparison->total };

        if (in_place.place == comparison->total)
                return in_place;
        comparison_stretch(comparison, &at_end);
        if (at_end.skipped == 0 || size - at_end.skipped >= COMPARISON_SUFFIX_SIZE ||
            in_place.place > comparison->total)
                return at_end;
        return in_place;
}

void comparison_end(Comparison *comparison, bool complete) {
        if (comparison->lost && comparison->unknown_size > 0 &&
            comparison->unknown_size < COMPARISON_UNKNOWN_SIZE) {
                Landing landing = comparison_land_at_end(comparison);

                if (!complete)
                        landing = (Landing){ .skipped = comparison->unknown_size,
                                             .place = comparison->position +
                                                      comparison->unknown_size };
                comparison_add(comparison, &landing);
                comparison->position = landing.place + (comparison->unknown_size - landing.skipped);
                comparison->lost = false;
        }
        if (complete && !comparison->lost && comparison->position < comparison->total &&
            comparison->faults++ == 0)
                comparison->fault = (Fault){ .kind = FAULT_TRUNCATED,
                                             .offset = comparison->received,
                                             .size = comparison->total - comparison->position };
}
