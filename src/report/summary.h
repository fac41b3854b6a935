/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"
#include "report/record.h"

/* Counts of records that the journal does not write, by kind. All zeros counts none. */
typedef struct Tally {
        uint64_t records;
        uint64_t accepted;
        uint64_t closed;
        uint64_t crashed;
        uint64_t refused;
        uint64_t bytes;
} Tally;

/* A source, and how many of its connections were refused because of one limit. */
typedef struct Refusals {
        char source[ADDRESS_TEXT_SIZE];
        const char *limit;
        uint64_t n;
} Refusals;

enum {
        /* Sources that a summary distinguishes, and those with a record of their own. */
        SUMMARY_SOURCES = 256,
        SUMMARY_SOURCES_NAMED = 10,
        /* The most records of one summary. */
        SUMMARY_RECORDS = 1 + SUMMARY_SOURCES_NAMED + 1,
};

/* Suppressed records of about a second: their counts, and the sources of refused connections. All
 * zeros is an empty summary. */
typedef struct Summary {
        Tally tally;
        uint64_t since;    /* the instant of the first record */
        const char *limit; /* of the refused connections; RECORD_LIMIT_SEVERAL for more than one */
        uint32_t n;
        uint32_t next; /* where the search for the source with the fewest begins */
        Refusals refusals[SUMMARY_SOURCES];
        uint64_t other; /* refused connections of other sources */
} Summary;

/*
 * tally_add: Counts @record: of a RECORD_SUMMARY or RECORD_LOST what it counts. tally_merge: Adds
 * the counts of @other. tally_record: Returns a record of @kind with the counts.
 *
 * summary_add: Counts @record, of a connection, at @now. Returns whether it is the first one.
 */
void tally_add(Tally *tally, const Record *record);
void tally_merge(Tally *tally, const Tally *other);
Record tally_record(const Tally *tally, RecordKind kind);
bool summary_add(Summary *summary, const Record *record, uint64_t now);

/*
 * summary_records: Sets @ret_records to a RECORD_SUMMARY, then a RECORD_REFUSALS for each of the
 * busiest sources, the busiest first, and one for all others. Their texts are valid until the
 * summary changes.
 *
 * Returns the number of records: 0 for an empty summary.
 */
size_t summary_records(Summary *summary, Record ret_records[static SUMMARY_RECORDS], uint64_t now);

/* summary_clear: Empties @summary. */
void summary_clear(Summary *summary);
