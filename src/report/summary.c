/* SPDX-License-Identifier: MIT */
/*
 * Counts the records of connections that the journal suppresses: by kind, and refused ones also by
 * source. A flood usually comes from few sources, and an administrator needs their names. So each
 * of the busiest sources gets a record, and all others share one.
 *
 * Memory is bounded: beyond 256 sources a new one takes the place of one with the fewest, whose
 * count goes to the others. Those with as few take turns, so that a busy source can begin late.
 * Each connection must be in the counts of the summary: none may vanish.
 */
#include "report/summary.h"

#include <stdlib.h>
#include <string.h>

void tally_add(Tally *tally, const Record *record) {
        const RecordKind kind = record->kind;
        const bool counts = kind == RECORD_SUMMARY || kind == RECORD_LOST;

        tally->records += kind == RECORD_LOST ? record->lost : 1;
        tally->accepted += counts ? record->accepted : kind == RECORD_ACCEPTED;
        tally->closed += counts ? record->closed : kind == RECORD_CLOSED;
        tally->crashed += counts ? record->crashed : kind == RECORD_CRASHED;
        if (kind == RECORD_REFUSED)
                tally->refused++;
        else if (counts || kind == RECORD_EXHAUSTED)
                tally->refused += record->refused;
        if (counts || kind == RECORD_CLOSED || kind == RECORD_CRASHED)
                tally->bytes += record->bytes;
}

void tally_merge(Tally *tally, const Tally *other) {
        const Record record = tally_record(other, RECORD_LOST);

        tally_add(tally, &record);
}

Record tally_record(const Tally *tally, RecordKind kind) {
        return (Record){ .kind = kind,
                         .lost = tally->records,
                         .accepted = tally->accepted,
                         .closed = tally->closed,
                         .crashed = tally->crashed,
                         .refused = tally->refused,
                         .bytes = tally->bytes };
}

/* Returns a place for a new source. */
static Refusals *summary_take_place(Summary *summary) {
        uint32_t place = summary->next;

        if (summary->n < SUMMARY_SOURCES)
                return &summary->refusals[summary->n++];
        for (uint32_t k = 1; k < SUMMARY_SOURCES; k++) {
                const uint32_t i = (summary->next + k) % SUMMARY_SOURCES;

                if (summary->refusals[i].n < summary->refusals[place].n)
                        place = i;
        }
        summary->next = (place + 1) % SUMMARY_SOURCES;
        summary->other += summary->refusals[place].n;
        return &summary->refusals[place];
}

static void summary_add_refusal(Summary *summary, const Record *record) {
        char source[ADDRESS_TEXT_SIZE];
        Refusals *refusals;

        if (summary->limit == NULL)
                summary->limit = record->limit;
        else if (strcmp(summary->limit, record->limit) != 0)
                summary->limit = RECORD_LIMIT_SEVERAL;
        address_cut_source(record->peer, source);
        for (uint32_t i = 0; i < summary->n; i++)
                if (strcmp(summary->refusals[i].source, source) == 0 &&
                    strcmp(summary->refusals[i].limit, record->limit) == 0) {
                        summary->refusals[i].n++;
                        return;
                }
        refusals = summary_take_place(summary);
        memcpy(refusals->source, source, sizeof source);
        refusals->limit = record->limit;
        refusals->n = 1;
}

bool summary_add(Summary *summary, const Record *record, uint64_t now) {
        if (summary->tally.records == 0)
                summary->since = now;
        tally_add(&summary->tally, record);
        if (record->kind == RECORD_REFUSED)
                summary_add_refusal(summary, record);
        return summary->tally.records == 1;
}

/* The busiest source first. Names order equal ones, so that the order is always the same. */
static int refusals_compare(const void *one, const void *other) {
        const Refusals *first = one, *second = other;

        if (first->n != second->n)
                return first->n > second->n ? -1 : 1;
        return strcmp(first->source, second->source) != 0 ? strcmp(first->source, second->source)
                                                          : strcmp(first->limit, second->limit);
}

size_t summary_records(Summary *summary, Record ret_records[static SUMMARY_RECORDS], uint64_t now) {
        Record refusals = { .kind = RECORD_REFUSALS,
                            .limit = summary->limit,
                            .refused = summary->other,
                            .duration = now - summary->since };
        size_t n = 0;

        if (summary->tally.records == 0)
                return 0;
        ret_records[n] = tally_record(&summary->tally, RECORD_SUMMARY);
        ret_records[n++].duration = refusals.duration;

        qsort(summary->refusals, summary->n, sizeof summary->refusals[0], refusals_compare);
        for (uint32_t i = 0; i < summary->n; i++) {
                if (i >= SUMMARY_SOURCES_NAMED) {
                        refusals.refused += summary->refusals[i].n;
                        continue;
                }
                ret_records[n] = refusals;
                ret_records[n].peer = summary->refusals[i].source;
                ret_records[n].limit = summary->refusals[i].limit;
                ret_records[n++].refused = summary->refusals[i].n;
        }
        if (refusals.refused > 0)
                ret_records[n++] = refusals;
        return n;
}

void summary_clear(Summary *summary) {
        summary->tally = (Tally){};
        summary->limit = NULL;
        summary->n = summary->next = 0;
        summary->other = 0;
}
