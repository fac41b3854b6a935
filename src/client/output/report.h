/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

#include "client/command/client_options.h"
#include "client/content/fault.h"
#include "client/content/foreign.h"
#include "client/content/volley.h"
#include "client/network/flow.h"
#include "client/network/kernel.h"
#include "client/network/path.h"
#include "client/network/rejection.h"
#include "client/output/flow_result.h"
#include "client/output/interim.h"
#include "client/output/progress.h"
#include "client/value/histogram.h"
#include "client/value/judgement.h"
#include "client/value/phases.h"
#include "lib/failure.h"

/* The result of a search for the largest datagram, in bytes. */
typedef struct ReportMtu {
        /* The largest one that passed, and its packet with the headers; 0 without a result. */
        uint64_t payload;
        uint64_t packet;
        uint64_t interface; /* the MTU of the interface; 0 if its largest datagram passed */
} ReportMtu;

/* The result of a run of any mode. Members that a mode does not use stay zero. */
typedef struct Report {
        Failure failure; /* FAILURE_NONE for success */
        time_t time;     /* the time of day at the start of the run */
        /* The first connection; its peer is empty if none came about. */
        Path path;
        Kernel kernel;
        Phases phases; /* ping and load */
        /* Nanoseconds from the first connection to the end. */
        uint64_t elapsed;
        uint64_t bytes_sent;
        uint64_t bytes_received;

        /* Check: nanoseconds to the last byte sent and received, the first fault and the number of
         * all. */
        uint64_t send_time;
        uint64_t receive_time;
        Fault fault;
        uint64_t faults;

        /* Ping: round trips begun. Ping and load: errors by kind, and the times of the others; in a
         * load also of those that the timeout ended. */
        uint64_t attempts;
        uint64_t errors[FAILURE_KINDS];
        Histogram latency;

        /* With datagrams: the counts, the rejections, the answers that found the receive buffer
         * full, and the number, from 1, of the first changed datagram. */
        VolleyCounts counts;
        Rejections rejections;
        uint64_t overflow;
        uint64_t faulty;
        ReportMtu mtu;

        /* Ping with --flows: the flows, and the judgement of their losses. */
        FlowResult *flows;
        size_t flows_count;
        Judgement judgement;

        /* A phrase about another service than echo; empty for none. */
        char foreign[FOREIGN_TEXT_SIZE];

        /* Load: answered requests, those overdue at the end, replaced connections, processes, and
         * the counts within the duration. */
        uint64_t answered;
        uint64_t overdue;
        uint64_t reconnects;
        uint64_t processes;
        Interim window;
} Report;

/*
 * report_status: Returns the exit status for @report: 0 or 1, or a MonitorState for the monitoring
 * plugin.
 *
 * report_add_flow: Adds the counts and the errors of @flow, whose datagrams have come to their end.
 * Unrecognized answers are errors, too.
 *
 * report_print_errors: Prints the errors by kind to standard output, after a space and in
 * parentheses; nothing if there are none.
 *
 * report_print_times: Prints the extremes, the mean and the quantiles of @latency to @file; nothing
 * for an empty histogram.
 */
int report_status(const Report *report, const ClientOptions *options);
void report_add_flow(Report *report, const Flow *flow);
void report_print_errors(const Report *report);
void report_print_times(FILE *file, const Histogram *latency);

/*
 * report_count: Returns the counts of @report so far, of a run that began at @start, with @errors:
 * round trips that have failed, or the faults of a check.
 *
 * report_print_state: Answers an inquiry: prints @count and @latency to standard error.
 */
Interim report_count(const Report *report, uint64_t start, uint64_t errors);
void report_print_state(const Interim *count, const Histogram *latency,
                        const ClientOptions *options, Progress *progress);

/* report_quantile: Returns a quantile of @latency in microseconds; NaN without enough values. */
double report_quantile(const Histogram *latency, unsigned permille);

/*
 * report_print: Prints @report as @options ask for: results to standard output, and to standard
 * error the failure that prevented any.
 *
 * Returns 0, or a negative errno of writing to standard output.
 */
int report_print(const Report *report, const ClientOptions *options);
