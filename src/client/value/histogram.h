/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Durations counted in log-linear buckets, the layout of HdrHistogram: 1,024 buckets for each
 * doubling, so that a bucket is never wider than a thousandth of its values (3 significant digits).
 * Values are nanoseconds; below 2,048 they are exact. The size is fixed, and an object of zero
 * bytes is an empty histogram, so that one can live in fresh shared memory. */
enum {
        HISTOGRAM_HALF_BITS = 10,
        HISTOGRAM_HALF = 1 << HISTOGRAM_HALF_BITS,
        /* 2^42 ns is the first power of two above an hour. */
        HISTOGRAM_SIZE = (42 - HISTOGRAM_HALF_BITS + 1) * HISTOGRAM_HALF,
};

/* One hour in nanoseconds: longer durations count as this one. */
#define HISTOGRAM_MAXIMUM UINT64_C(3600000000000)

typedef struct Histogram {
        uint64_t count;
        /* Exact; 0 in an empty histogram. */
        uint64_t minimum;
        uint64_t maximum;
        double mean;
        /* Sum of the squared differences from the mean. */
        double squares;
        uint64_t counts[HISTOGRAM_SIZE];
} Histogram;

/* Values from @lowest to @highest, both included, counted @count times. */
typedef struct HistogramBucket {
        uint64_t lowest;
        uint64_t highest;
        uint64_t count;
} HistogramBucket;

/*
 * histogram_record: Counts one duration of @value nanoseconds.
 *
 * histogram_add: Adds all counts of @other to @histogram.
 */
void histogram_record(Histogram *histogram, uint64_t value);
void histogram_add(Histogram *histogram, const Histogram *other);

/* histogram_quantile: Returns the least counted value that at least @permille (0 to 1000)
 * thousandths of all values do not exceed: at most a thousandth above the exact one, and never
 * above the maximum. Returns 0 for an empty histogram. */
uint64_t histogram_quantile(const Histogram *histogram, unsigned permille);

/*
 * histogram_has_quantile: Returns whether at least one value lies above @permille (0 to 999)
 * thousandths of all. With fewer values the quantile is just the maximum.
 *
 * histogram_deviation: Returns the standard deviation of all values in nanoseconds; 0 for an empty
 * histogram.
 *
 * histogram_index: Returns the index of the bucket that counts @value.
 *
 * histogram_bucket: Returns the bucket at @index, below HISTOGRAM_SIZE; most are empty.
 */
bool histogram_has_quantile(const Histogram *histogram, unsigned permille);
double histogram_deviation(const Histogram *histogram);
size_t histogram_index(uint64_t value);
HistogramBucket histogram_bucket(const Histogram *histogram, size_t index);
