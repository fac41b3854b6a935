/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "client/value/histogram.h"

/* chart_print: Draws @histogram to @file as at most ten rows of bars, no wider than @width columns.
 * A row covers whole buckets; its label is the longest time that it counts. Draws nothing for fewer
 * than two values. */
void chart_print(const Histogram *histogram, FILE *file, int width);
