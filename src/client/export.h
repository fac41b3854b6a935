/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/failure.h"
#include "client/histogram.h"

/*
 * export_csv: writes @histogram to the file @path, replacing it: a line of names, and a line for
 * each bucket that is not empty with the longest time that it counts in microseconds, its count,
 * the count up to there, and the percentage that is.
 *
 * Returns 0, or a negative errno and sets @ret_failure.
 */
int export_csv(const Histogram *histogram, const char *path, Failure *ret_failure);

/*
 * export_plot: draws @histogram to the file @path with gnuplot(1): as SVG or PNG, which its name
 * says by ending in ".svg" or ".png". @title is what is written above. When @interrupt, a
 * descriptor of interrupt_open() or -1, becomes readable, gnuplot is killed.
 *
 * Returns 0, or a negative errno and sets @ret_failure: -ENOENT when there is no gnuplot.
 */
int export_plot(const Histogram *histogram, const char *path, const char *title, int interrupt,
                Failure *ret_failure);
