/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "client/command/client_options.h"

/* The counts of a run @elapsed nanoseconds after its start. */
typedef struct Interim {
        uint64_t elapsed;
        uint64_t answered;
        uint64_t bytes_sent;
        uint64_t bytes_received;
        uint64_t errors; /* faults, in a check */
} Interim;

/* The reports of one run, one for each --interval. */
typedef struct Interims {
        const ClientOptions *options;
        /* The instant of the start, and that of the next report: CLOCK_NEVER for none. */
        uint64_t start;
        uint64_t next;
        Interim last;
} Interims;

/*
 * interims_init: Prepares the reports of a run that began at @start, if @options ask for any.
 *
 * interims_report: Prints to standard output the difference between the last report and @now, as
 * one line of text or one JSON object. Sets the instant of the next report.
 *
 * interims_end: Reports the difference between the last report and @now, the end of the run, unless
 * it is zero. The reports of a run add up to its results.
 *
 * interim_print: Prints the difference between @from and @to to @file, as one line of text in the
 * words of the mode in @options.
 */
void interims_init(Interims *ret_interims, const ClientOptions *options, uint64_t start);
void interims_report(Interims *interims, const Interim *now);
void interims_end(Interims *interims, const Interim *now);
void interim_print(FILE *file, const Interim *from, const Interim *to,
                   const ClientOptions *options);

/*
 * interim_settle: Leaves out of @count, of a run that goes on, the bytes that came back and are not
 * counted as sent yet: a process that sends counts bytes when send(2) returns, and the echo can be
 * there before. A later count has them.
 */
void interim_settle(Interim *count);

/* interim_rate: Returns @count in @time nanoseconds as a rate per second; 0 for no time. */
double interim_rate(uint64_t count, uint64_t time);
