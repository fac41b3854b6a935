/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "client/histogram.h"

/*
 * chart_print: draws @histogram to @file as rows of bars, no wider than @width columns. The rows
 * divide the range from minimum to maximum evenly on a logarithmic scale; each is labelled with the
 * longest time that it counts, in milliseconds. Fewer than two values are not drawn.
 */
void chart_print(const Histogram *histogram, FILE *file, int width);
