/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <time.h>

#include "client/client_options.h"
#include "client/fault.h"
#include "client/foreign.h"
#include "client/histogram.h"
#include "client/interim.h"
#include "client/kernel.h"
#include "client/path.h"
#include "client/phases.h"
#include "lib/failure.h"

typedef struct Report Report;

/*
 * What a run of any mode has to say at its end. What a mode has no use for stays zero.
 */
struct Report {
        /* FAILURE_NONE when all is as it should be. */
        Failure failure;
        /* The time of day at which the run began. */
        time_t time;
        /* How the first connection came about; its peer is empty where there was none. */
        Path path;
        Kernel kernel;
        /* Ping and load. */
        Phases phases;
        /* Nanoseconds from the first connection's being there to the end. */
        uint64_t elapsed;
        uint64_t bytes_sent;
        uint64_t bytes_received;

        /* Check: nanoseconds until the last byte was sent and received, and what was wrong. */
        uint64_t send_time;
        uint64_t receive_time;
        Fault fault;
        uint64_t faults;

        /* Ping: round trips that were answered or failed. Ping and load: why some failed, and how
         * long the others took; in a load also those that were given up at the timeout. */
        uint64_t attempts;
        uint64_t errors[FAILURE_KINDS];
        Histogram latency;

        /* Half a sentence about a service that is none of echo; empty for none. */
        char foreign[FOREIGN_TEXT_SIZE];

        /* Load: what was answered, what was due and not begun in time, connections that replaced
         * another one, how many workers, and what of it all happened within the duration. */
        uint64_t answered;
        uint64_t overdue;
        uint64_t reconnects;
        uint64_t processes;
        Interim window;
};

/*
 * report_prepare: tries whether the files that @options ask for can be written, before the run.
 * Sets the report's failure if not.
 */
void report_prepare(Report *report, const ClientOptions *options);

/*
 * report_export: writes the files that @options ask for. What goes wrong becomes the report's
 * failure, unless it has one.
 */
void report_export(Report *report, const ClientOptions *options);

/*
 * report_status: the exit status that @report deserves: 0 or 1, or with thresholds a MonitorState.
 */
int report_status(const Report *report, const ClientOptions *options);

/*
 * report_print_errors: prints the errors by kind, in parentheses with a space in front; nothing if
 * there are none.
 */
void report_print_errors(const Report *report);

/*
 * report_print_times: prints the extremes, the mean and the quantiles of @latency to @file; nothing
 * if there are none.
 */
void report_print_times(FILE *file, const Histogram *latency);

/*
 * report_print: prints @report as @options ask for: results to standard output, what kept the
 * program from having any to standard error.
 *
 * Returns 0, or a negative errno of writing to standard output.
 */
int report_print(const Report *report, const ClientOptions *options);
