/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/output/report.h"

/* export_prepare: Creates or empties the files that @options name, before the run: a user who
 * measures for an hour learns of a wrong path, or of a missing gnuplot(1), at once, and no file of
 * an earlier run looks like the result. Sets the report's failure if it cannot. */
void export_prepare(Report *report, const ClientOptions *options);

/*
 * export_write: Writes the times of @report, if there are any, to the files that @options name:
 *
 * - CSV (RFC 4180): a line of names, then a line for each bucket that is not empty. Columns: the
 *   longest time of the bucket in microseconds, its count, the cumulative count, the percentage of
 *   it.
 * - The percentile format of HdrHistogram, in milliseconds.
 * - A picture of the times over their percentiles, by gnuplot(1), as SVG or PNG by the ending
 *   ".svg" or ".png". Kills gnuplot when the interrupt becomes readable.
 *
 * Prints an error, and makes it the report's failure unless it has one.
 */
void export_write(Report *report, const ClientOptions *options);
