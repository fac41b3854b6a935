/* SPDX-License-Identifier: MIT */
/*
 * Finds the damage that a path has done to a stream.
 *
 * While the bytes equal the expected ones, it only compares. A difference loses the place: from
 * there on it looks up each pair of received words in the pattern, whose words determine their
 * offsets (pattern.h). The first pair that belongs to the stream is a landing. Three numbers
 * determine the fault: the place where the difference began, the number of bytes since, and the
 * place of the landing. With as many bytes as expected, they were changed or reordered; with fewer,
 * some were dropped; with more, some were inserted, or duplicated if they repeat the bytes before.
 *
 * The search slides over the stream and never gives up, so damage of any size is one fault with its
 * size, and the bytes behind it are compared as usual. While the place is lost it keeps only the
 * last bytes, and counts their differences as they come. Only a stream that ends before a landing
 * is unrecognized.
 *
 * Memory is fixed, and time is proportional to the received bytes. It must never store the stream.
 */
#include "client/content/comparison.h"

#include <string.h>

enum {
        COMPARISON_CHUNK_SIZE = 8 * 1024,
        /* The bytes that pattern_find() needs. */
        COMPARISON_LOCK_SIZE = 2 * PATTERN_WORD_SIZE,
        /* Equal bytes at the very end that are hardly a coincidence. */
        COMPARISON_SUFFIX_SIZE = 4,
        /* The bytes that it keeps when the buffer is full. */
        COMPARISON_KEPT_SIZE = 4 * COMPARISON_LOCK_SIZE,
};

/*
 * The end of a difference: @skipped received bytes are out of place, and the next byte is the one
 * at @place in the pattern.
 */
typedef struct Landing {
        uint64_t skipped;
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

/* Counts how @size bytes that came while lost differ from those that belong there. */
static void comparison_count(Comparison *comparison, const uint8_t *data, size_t size) {
        uint8_t expected[COMPARISON_CHUNK_SIZE];

        for (size_t done = 0, n; done < size; done += n) {
                n = size - done < sizeof expected ? size - done : sizeof expected;
                pattern_fill(comparison->pattern, comparison->position + comparison->lost_size,
                             expected, n);
                for (size_t i = 0; i < n; i++) {
                        uint8_t came = data[done + i];

                        comparison->bits += (uint64_t)__builtin_popcount(came ^ expected[i]);
                        comparison->surplus[came]++;
                        comparison->surplus[expected[i]]--;
                }
                comparison->lost_size += n;
        }
        comparison->received += size;
}

/* Judges a difference with the expected number of bytes. The bytes behind it are equal. */
static Fault comparison_judge_in_place(const Comparison *comparison, uint64_t size) {
        Fault fault = { .kind = FAULT_REORDERED,
                        .size = size,
                        .bits = comparison->bits,
                        .sent = comparison_byte(comparison, comparison->position),
                        .received = comparison->unknown[0] };

        for (size_t i = 0; i <= UINT8_MAX; i++)
                if (comparison->surplus[i] != 0)
                        fault.kind = FAULT_CHANGED;
        return fault;
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
                /* A surplus that repeats the bytes before it is part of the landing. */
                fault.kind = landing->skipped == 0 ? FAULT_DUPLICATED : FAULT_INSERTED;
        }
        fault.offset = comparison->received - comparison->lost_size;
        return fault;
}

/* Returns whether bytes moved: dropped ones come later, or inserted ones are missing later. */
static bool comparison_is_counterpart(const Comparison *comparison, const Fault *later,
                                      const Landing *landing) {
        const Fault *first = &comparison->first[0];

        /* Coincidentally equal bytes move the edges of dropped ones by a few places. */
        if (first->kind == FAULT_DROPPED &&
            landing->place + COMPARISON_LOCK_SIZE >= comparison->gap &&
            landing->place < comparison->gap + first->size)
                return true;
        /* Where so few bytes belong, nothing but their number says. */
        if (later->size != first->size || first->size >= COMPARISON_LOCK_SIZE + PATTERN_WORD_SIZE)
                return false;
        if (first->kind == FAULT_DROPPED)
                return later->kind == FAULT_INSERTED || later->kind == FAULT_DUPLICATED;
        return first->kind == FAULT_INSERTED && later->kind == FAULT_DROPPED;
}

static void comparison_keep(Comparison *comparison, const Fault *fault) {
        if (comparison->faults < COMPARISON_FIRST_FAULTS)
                comparison->first[comparison->faults] = *fault;
        comparison->faults++;
}

static void comparison_add(Comparison *comparison, const Landing *landing) {
        Fault fault = comparison_judge(comparison, landing);

        if (comparison->faults == 0)
                comparison->gap = comparison->position;
        else if (comparison_is_counterpart(comparison, &fault, landing))
                comparison->first[0].kind = FAULT_REORDERED;
        comparison_keep(comparison, &fault);
}

/* Searches the place at which the received bytes continue, the last @fresh of which are new. */
static bool comparison_find(Comparison *comparison, size_t fresh, Landing *ret_landing) {
        size_t size = comparison->unknown_size, known = size - fresh;
        size_t from = known < COMPARISON_LOCK_SIZE ? 0 : known - (COMPARISON_LOCK_SIZE - 1);

        for (size_t i = from; i + COMPARISON_LOCK_SIZE <= size; i++)
                if (pattern_find(comparison->pattern, comparison->unknown + i, comparison->total,
                                 &ret_landing->place)) {
                        ret_landing->skipped = comparison->forgotten + i;
                        return true;
                }
        return false;
}

/* Words lie on every eighth byte only: the bytes before the first one may belong to it. */
static void comparison_stretch(const Comparison *comparison, Landing *landing) {
        uint64_t forgotten = comparison->forgotten;

        while (landing->skipped > forgotten && landing->place > 0 &&
               comparison->unknown[landing->skipped - forgotten - 1] ==
                               comparison_byte(comparison, landing->place - 1)) {
                landing->skipped--;
                landing->place--;
        }
}

static void comparison_forget(Comparison *comparison) {
        size_t size = comparison->unknown_size - COMPARISON_KEPT_SIZE;

        memmove(comparison->unknown, comparison->unknown + size, COMPARISON_KEPT_SIZE);
        comparison->forgotten += size;
        comparison->unknown_size = COMPARISON_KEPT_SIZE;
}

/* Takes bytes while the place is lost; returns how many of @size. */
static size_t comparison_take_lost(Comparison *comparison, const uint8_t *data, size_t size) {
        size_t room = COMPARISON_UNKNOWN_SIZE - comparison->unknown_size;
        size_t n = size < room ? size : room;
        uint64_t before = comparison->lost_size, next;
        Landing landing;

        memcpy(comparison->unknown + comparison->unknown_size, data, n);
        comparison->unknown_size += n;
        if (!comparison_find(comparison, n, &landing)) {
                comparison_count(comparison, data, n);
                if (comparison->unknown_size == COMPARISON_UNKNOWN_SIZE)
                        comparison_forget(comparison);
                return n;
        }

        /* The bytes behind the landing are compared as usual. */
        comparison->unknown_size -= n;
        n = (size_t)(landing.skipped + COMPARISON_LOCK_SIZE - before);
        comparison->unknown_size += n;
        comparison_count(comparison, data, n);
        next = landing.place + COMPARISON_LOCK_SIZE;
        comparison_stretch(comparison, &landing);
        comparison_add(comparison, &landing);
        comparison->position = next;
        comparison->lost = false;
        return n;
}

static void comparison_lose(Comparison *comparison) {
        comparison->lost = true;
        comparison->lost_size = comparison->bits = comparison->forgotten = 0;
        comparison->unknown_size = 0;
        memset(comparison->surplus, 0, sizeof comparison->surplus);
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
        if (same < n || left == 0)
                comparison_lose(comparison);
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

/* Places the last few bytes, too few to look up: they are in place, or the pattern's last. */
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

bool comparison_is_adrift(const Comparison *comparison) {
        return comparison->lost && comparison->forgotten > 0;
}

/* Judges the bytes since the place was lost, if any. */
static void comparison_end_lost(Comparison *comparison, bool complete) {
        uint64_t size = comparison->lost_size;
        Landing landing = { .skipped = size, .place = comparison->position + size };

        if (comparison_is_adrift(comparison)) {
                comparison_keep(comparison, &(Fault){ .kind = FAULT_UNRECOGNIZED,
                                                      .offset = comparison->received - size,
                                                      .size = size });
                return;
        }
        if (size == 0)
                return;
        /* What comes behind the last byte is no change of it. */
        if (complete || landing.place > comparison->total)
                landing = comparison_land_at_end(comparison);
        comparison_add(comparison, &landing);
        comparison->position = landing.place + (size - landing.skipped);
        comparison->lost = false;
}

void comparison_end(Comparison *comparison, bool complete) {
        if (comparison->lost)
                comparison_end_lost(comparison, complete);
        /* Only the end is missing. */
        if (complete && !comparison->lost && comparison->position < comparison->total)
                comparison_keep(comparison,
                                &(Fault){ .kind = FAULT_TRUNCATED,
                                          .offset = comparison->received,
                                          .size = comparison->total - comparison->position });
}
