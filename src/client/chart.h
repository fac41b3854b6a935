/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "client/histogram.h"

/*
 * chart_print: draws @histogram to @file as at most ten rows of bars, no wider than @width columns.
 * A row is a number of whole buckets, and its label the longest time that it counts. Fewer than two
 * values are not drawn.
 */
void chart_print(const Histogram *histogram, FILE *file, int width);
