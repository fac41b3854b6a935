/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "client/client_options.h"

typedef struct Interim Interim;
typedef struct Interims Interims;

/*
 * What a run has counted @elapsed nanoseconds after its start.
 */
struct Interim {
        uint64_t elapsed;
        uint64_t answered;
        uint64_t bytes_sent;
        uint64_t bytes_received;
        /* Of a check: faults. */
        uint64_t errors;
};

/*
 * The reports of a run that takes a while, one for each --interval.
 */
struct Interims {
        const ClientOptions *options;
        /* The instant of the start, and that of the next report: CLOCK_NEVER for none. */
        uint64_t start;
        uint64_t next;
        Interim last;
};

/*
 * interims_init: prepares the reports of a run that began at @start, if @options ask for any.
 */
void interims_init(Interims *ret_interims, const ClientOptions *options, uint64_t start);

/*
 * interims_report: prints to standard output what was counted from the last report to @now, one
 * line of text or one JSON object. Sets the instant of the next report.
 */
void interims_report(Interims *interims, const Interim *now);

/*
 * interims_end: reports what was counted since the last report up to @now, the end; nothing if
 * nothing was. The reports of a run add up to its results.
 */
void interims_end(Interims *interims, const Interim *now);

/*
 * interim_print: prints to @file, in one line of text, what was counted from @from to @to in the
 * mode that @options have.
 */
void interim_print(FILE *file, const Interim *from, const Interim *to,
                   const ClientOptions *options);

/*
 * interim_rate: returns @count in @time nanoseconds as a number a second; 0 in no time.
 */
double interim_rate(uint64_t count, uint64_t time);
