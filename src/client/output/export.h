/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/value/histogram.h"
#include "lib/failure.h"

/*
 * export_prepare: Creates or empties the file @path, before the run: a user who measures for an
 * hour learns of a wrong path at once, and no file of an earlier run looks like the result.
 *
 * Returns 0, or a negative errno of fopen(3) and sets @ret_failure.
 */
int export_prepare(const char *path, Failure *ret_failure);

/*
 * export_prepare_plot: Prepares @path as export_prepare() does, and searches PATH for gnuplot(1).
 *
 * Returns 0; -ENOENT without gnuplot, or an error of export_prepare(), and sets @ret_failure.
 */
int export_prepare_plot(const char *path, Failure *ret_failure);

/*
 * export_csv: Replaces the file @path by @histogram as CSV (RFC 4180): a line of names, then a line
 * for each bucket that is not empty. Columns: the longest time of the bucket in microseconds, its
 * count, the cumulative count, the percentage of it.
 *
 * Returns 0, or a negative errno of fopen(3) or fclose(3), -EIO, and sets @ret_failure.
 */
int export_csv(const Histogram *histogram, const char *path, Failure *ret_failure);

/*
 * export_hgrm: Replaces the file @path by @histogram in the percentile format of HdrHistogram, in
 * milliseconds. Returns as export_csv() does.
 */
int export_hgrm(const Histogram *histogram, const char *path, Failure *ret_failure);

/*
 * export_plot: Draws the times of @histogram over their percentiles to the file @path with
 * gnuplot(1), as SVG or PNG by the ending ".svg" or ".png". Writes @title and @subtitle above.
 * Kills gnuplot when @interrupt, a descriptor of interrupt_open() or -1, becomes readable.
 *
 * Returns 0; a negative errno of pipe(2) or posix_spawn(3), -EINTR after the interrupt or -EIO when
 * gnuplot fails, and sets @ret_failure.
 */
int export_plot(const Histogram *histogram, const char *path, const char *title,
                const char *subtitle, int interrupt, Failure *ret_failure);
