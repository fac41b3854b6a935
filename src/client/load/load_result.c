/* SPDX-License-Identifier: MIT */
/*
 * Adds up the counts of a load's workers, and describes the errors in one sentence.
 *
 * Each worker counts in a page of its own. Rates come from the counts at the end of the duration,
 * totals from the end. Damage outweighs all other errors, since an echo tool must never miss it; of
 * the others the most frequent kind represents all. Errors of this machine get a reason and a
 * remedy.
 *
 * A worker that died has counted up to that moment. Its parent has set a failure, and this file
 * must not replace it.
 */
#include "client/load/load_result.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/output/verdict.h"
#include "client/value/quantity.h"

typedef struct LoadResult {
        const ClientOptions *options;
        const LoadPage *pages;
        unsigned workers;
        Report *report;
} LoadResult;

static void load_result_add_window(Interim *sum, const LoadPage *page) {
        const Interim *window = &page->window;

        /* A worker that died has counted until then. */
        sum->answered += window->elapsed > 0 ? window->answered : page->answered;
        sum->bytes_sent += window->elapsed > 0 ? window->bytes_sent : page->bytes_sent;
        sum->bytes_received += window->elapsed > 0 ? window->bytes_received : page->bytes_received;
        if (window->elapsed > sum->elapsed)
                sum->elapsed = window->elapsed;
}

static void load_result_add_datagrams(Report *report, const LoadPage *page) {
        volley_add(&report->counts, &page->counts);
        report->overflow += page->overflow;
        rejections_add(&report->rejections, &page->rejections);
}

static void load_result_sum_up(const LoadResult *result) {
        Report *report = result->report;

        /* A worker of streams sends in a process of its own. */
        report->processes =
                        (uint64_t)result->workers * (result->options->load == LOAD_STREAMS ? 2 : 1);
        for (unsigned i = 0; i < result->workers; i++) {
                const LoadPage *page = &result->pages[i];

                report->answered += page->answered;
                report->phases.connections += page->phases.connections;
                report->phases.connect += page->phases.connect;
                report->phases.answers += page->phases.answers;
                report->phases.first += page->phases.first;
                report->phases.last += page->phases.last;
                kernel_add(&report->kernel, &page->kernel);
                load_result_add_datagrams(report, page);
                if (page->foreign[0] != '\0')
                        memcpy(report->foreign, page->foreign, sizeof report->foreign);
                report->overdue += page->overdue;
                report->reconnects += page->reconnects;
                report->bytes_sent += page->bytes_sent;
                report->bytes_received += page->bytes_received;
                for (int kind = 0; kind < FAILURE_KINDS; kind++)
                        report->errors[kind] += page->errors[kind];
                if (page->elapsed > report->elapsed)
                        report->elapsed = page->elapsed;
                load_result_add_window(&report->window, page);
                /* A worker that died after the window has no end. */
                if (report->window.elapsed > report->elapsed)
                        report->elapsed = report->window.elapsed;
                histogram_add(&report->latency, &page->latency);
        }
}

/* Returns the reason of local errors, and a remedy. */
static const char *load_result_find_reason(const LoadResult *result) {
        int error = 0;

        for (unsigned i = 0; i < result->workers; i++)
                if (result->pages[i].local_error != 0)
                        error = result->pages[i].local_error;
        if (error == EADDRNOTAVAIL)
                return "no local port is free: each --source has its own, and --reset leaves none "
                       "in "
                       "TIME_WAIT";
        return strerror(error);
}

static void load_result_judge_errors(const LoadResult *result, uint64_t errors) {
        Failure *failure = &result->report->failure;
        FailureKind worst = verdict_find_worst(result->report);
        char seconds[QUANTITY_TEXT_SIZE];
        uint64_t unclosed = 0;

        for (unsigned i = 0; i < result->workers; i++)
                unclosed += result->pages[i].unclosed;
        failure_set_kind(failure, worst, 0, "%" PRIu64 " error%s", errors, quantity_plural(errors));
        /* A service that has answered correctly once, whichever worker, is an echo service. */
        if (worst == FAILURE_DIFFERS && result->report->answered == 0 &&
            result->report->foreign[0] != '\0')
                failure_set_kind(failure, worst, 0, "%s", result->report->foreign);
        if (worst == FAILURE_LOCAL)
                failure_append(failure, ": %s", load_result_find_reason(result));
        if (unclosed == errors)
                failure_set_kind(failure, worst, 0,
                                 "all came back intact, but the service did not close %" PRIu64
                                 " connection%s within %s s",
                                 unclosed, quantity_plural(unclosed),
                                 quantity_format_time(result->options->timeout, seconds));
}

static void load_result_judge(const LoadResult *result) {
        Report *report = result->report;
        /* A part of an answer is none. */
        const uint64_t answers = result->options->load == LOAD_STREAMS ? report->bytes_received
                                                                       : report->answered;
        uint64_t errors = 0;

        if (report->failure.kind != FAILURE_NONE)
                return;
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                errors += report->errors[kind];
        if (errors > 0)
                load_result_judge_errors(result, errors);
        else if (answers == 0)
                failure_set_kind(&report->failure, FAILURE_INTERRUPTED, 0,
                                 "the end came before the first answer");
}

void load_result_set(const ClientOptions *options, const LoadPage *pages, unsigned workers,
                     Report *report) {
        const LoadResult result = { options, pages, workers, report };

        load_result_sum_up(&result);
        load_result_judge(&result);
}
