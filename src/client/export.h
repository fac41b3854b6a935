/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/histogram.h"
#include "lib/failure.h"

/*
 * export_prepare: empties the file @path, or makes it: whoever measures for an hour wants to know
 * before that the results cannot be written, and a file from before must not look like theirs.
 *
 * Returns 0, or a negative errno and sets @ret_failure.
 */
int export_prepare(const char *path, Failure *ret_failure);

/*
 * export_prepare_plot: the same, and looks for gnuplot(1): -ENOENT when there is none.
 */
int export_prepare_plot(const char *path, Failure *ret_failure);

/*
 * export_csv: writes @histogram to the file @path, replacing it: a line of names, and a line for
 * each bucket that is not empty with the longest time that it counts in microseconds, its count,
 * the count up to there, and the percentage that is.
 *
 * Returns 0, or a negative errno and sets @ret_failure.
 */
int export_csv(const Histogram *histogram, const char *path, Failure *ret_failure);

/*
 * export_hgrm: the same in the form of HdrHistogram's percentile distributions, which its plotters
 * read; values are milliseconds.
 */
int export_hgrm(const Histogram *histogram, const char *path, Failure *ret_failure);

/*
 * export_plot: draws the times of @histogram over their percentiles to the file @path with
 * gnuplot(1): as SVG or PNG, which its name says by ending in ".svg" or ".png". @title and
 * @subtitle are written above. When @interrupt, a descriptor of interrupt_open() or -1, becomes
 * readable, gnuplot is killed.
 *
 * Returns 0, or a negative errno and sets @ret_failure.
 */
int export_plot(const Histogram *histogram, const char *path, const char *title,
                const char *subtitle, int interrupt, Failure *ret_failure);
