/* SPDX-License-Identifier: MIT */
/*
 * Finds the reason why a run of round trips failed.
 *
 * One reason is the verdict: the one that says most about the path. Flows that lose more than the
 * others come first, then bytes that nobody sent, changed ones, then the most frequent error. A run
 * that ended too early without an error has its end as the reason.
 *
 * It judges the counts alone, so all modes agree. It must never fail a run for open round trips,
 * whose fate nobody knows, unless the user wants a count: then a run without all answers fails. A
 * run without any answer fails, too.
 */
#include "client/output/verdict.h"

#include <inttypes.h>

#include "client/output/report_flows.h"
#include "client/value/quantity.h"

/* A service that has answered correctly once is an echo service, also if it did so later than its
 * wrong answer, or to another connection. */
static void verdict_revoke_foreign(Report *report) {
        if (report->latency.count + report->counts.answered + report->counts.late > 0)
                report->foreign[0] = '\0';
}

bool verdict_set_unrecognized(Report *report) {
        const uint64_t unrecognized = report->counts.unrecognized;

        verdict_revoke_foreign(report);
        if (unrecognized == 0)
                return false;
        if (report->foreign[0] != '\0')
                failure_set_kind(&report->failure, FAILURE_DIFFERS, 0, "%s", report->foreign);
        else
                failure_set_kind(&report->failure, FAILURE_DIFFERS, 0,
                                 "%" PRIu64 " unrecognized answer%s", unrecognized,
                                 quantity_plural(unrecognized));
        return true;
}

FailureKind verdict_find_worst(const Report *report) {
        FailureKind worst = FAILURE_NONE;

        if (report->errors[FAILURE_DIFFERS] > 0)
                return FAILURE_DIFFERS;
        for (int kind = FAILURE_NONE + 1; kind < FAILURE_INTERRUPTED; kind++)
                if (report->errors[kind] > 0 &&
                    (worst == FAILURE_NONE || report->errors[kind] > report->errors[worst]))
                        worst = (FailureKind)kind;
        return worst;
}

/* Fails a run that ended with @answered of the @wanted answers, 0 for all of @begun. */
static void verdict_set_end(Failure *failure, const char *what, uint64_t answered, uint64_t wanted,
                            uint64_t begun, bool interrupted) {
        const uint64_t all = wanted > 0 ? wanted : begun;

        failure_set_kind(failure, interrupted ? FAILURE_INTERRUPTED : FAILURE_TIMEOUT, 0,
                         "the run ended with %" PRIu64 " of %" PRIu64 " %s%s answered", answered,
                         all, what, quantity_plural(all));
}

void verdict_set_round_trips(Report *report, uint64_t wanted, bool interrupted) {
        const uint64_t answered = report->latency.count;
        const uint64_t open = report->errors[FAILURE_INTERRUPTED];
        const FailureKind worst = verdict_find_worst(report);
        const bool early = answered == 0 || answered < wanted;

        verdict_revoke_foreign(report);
        if (early && worst == FAILURE_NONE)
                verdict_set_end(&report->failure, "round trip", answered, wanted, report->attempts,
                                interrupted);
        else if (worst == FAILURE_DIFFERS && report->foreign[0] != '\0')
                failure_set_kind(&report->failure, worst, 0, "%s", report->foreign);
        else if (worst != FAILURE_NONE)
                failure_set_kind(&report->failure, worst, 0,
                                 "%" PRIu64 " of %" PRIu64 " round trip%s failed",
                                 report->attempts - answered - open, report->attempts,
                                 quantity_plural(report->attempts));
}

void verdict_set_flows(Report *report, uint64_t wanted, bool interrupted) {
        char text[FLOWS_VERDICT_SIZE];

        verdict_revoke_foreign(report);
        if (report->judgement.named > 0) {
                report_flows_verdict(report, text);
                failure_set_kind(&report->failure, FAILURE_LOSS, 0, "%s", text);
        } else if (!verdict_set_unrecognized(report) && report->failure.kind == FAILURE_NONE) {
                verdict_set_round_trips(report, wanted, interrupted);
        }
}

/* Judges changed and unrecognized answers. Returns whether there were any. */
static bool verdict_set_wrong(Report *report) {
        const VolleyCounts *counts = &report->counts;
        char text[FAULT_TEXT_SIZE];

        verdict_revoke_foreign(report);
        if (counts->changed == 0 || report->foreign[0] != '\0')
                return verdict_set_unrecognized(report);
        fault_format(&report->fault, text);
        failure_set_kind(&report->failure, FAILURE_DIFFERS, 0,
                         "changed %" PRIu64 " of %" PRIu64 " datagram%s, first datagram %" PRIu64
                         ": %s",
                         counts->changed, counts->sent, quantity_plural(counts->sent),
                         report->faulty, text);
        return true;
}

static void verdict_set_rejected(Report *report) {
        const VolleyCounts *counts = &report->counts;
        const size_t most = rejections_most(&report->rejections);
        const Rejection *rejection = &report->rejections.list[most];

        failure_set_kind(&report->failure, rejection_kind(rejection), 0,
                         "rejected %" PRIu64 " of %" PRIu64 " datagram%s%s: %s", counts->rejected,
                         counts->sent, quantity_plural(counts->sent),
                         report->rejections.counts[most] < counts->rejected ? ", most often" : "",
                         rejection->text);
}

void verdict_set_datagrams(Report *report, uint64_t wanted, bool interrupted, bool timed) {
        const VolleyCounts *counts = &report->counts;
        const uint64_t late = timed ? counts->late : 0, lost = volley_lost(counts);
        const uint64_t back = counts->answered + counts->late;

        if (verdict_set_wrong(report))
                return;
        if (counts->rejected > lost + late)
                verdict_set_rejected(report);
        else if (lost > 0)
                failure_set_kind(&report->failure, back == 0 ? FAILURE_TIMEOUT : FAILURE_MISSING, 0,
                                 "lost %" PRIu64 " of %" PRIu64 " datagram%s", lost, counts->sent,
                                 quantity_plural(counts->sent));
        else if (late > 0)
                failure_set_kind(&report->failure, FAILURE_TIMEOUT, 0,
                                 "%" PRIu64 " of %" PRIu64 " answer%s came late", late,
                                 counts->sent, quantity_plural(counts->sent));
        else if (back == 0 || (wanted > 0 && (counts->sent < wanted || counts->open > 0)))
                verdict_set_end(&report->failure, "datagram", back, wanted, counts->sent,
                                interrupted);
}
