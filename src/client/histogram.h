/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Histogram Histogram;
typedef struct HistogramBucket HistogramBucket;

/*
 * Durations counted in log-linear buckets, the layout of HdrHistogram: 1,024 buckets for each
 * doubling, so that a bucket is never wider than a thousandth of its values (3 significant digits).
 * Values are nanoseconds; below 2,048 they are exact. The size is fixed, and an object of zero
 * bytes is an empty histogram, so that one can live in fresh shared memory.
 */
enum {
        HISTOGRAM_HALF_BITS = 10,
        HISTOGRAM_HALF = 1 << HISTOGRAM_HALF_BITS,
        /* 2^42 ns is the first power of two above an hour. */
        HISTOGRAM_SIZE = (42 - HISTOGRAM_HALF_BITS + 1) * HISTOGRAM_HALF,
};

/* One hour in nanoseconds: longer durations count as this one. */
#define HISTOGRAM_MAXIMUM UINT64_C(3600000000000)

struct Histogram {
        uint64_t count;
        /* Exact; 0 in an empty histogram. */
        uint64_t minimum;
        uint64_t maximum;
        double mean;
        /* Sum of the squared differences from the mean. */
        double squares;
        uint64_t counts[HISTOGRAM_SIZE];
};

/* Values from @lowest to @highest, both included, counted @count times. */
struct HistogramBucket {
        uint64_t lowest;
        uint64_t highest;
        uint64_t count;
};

/*
 * histogram_record: counts one duration of @value nanoseconds.
 */
void histogram_record(Histogram *histogram, uint64_t value);

/*
 * histogram_add: counts in @histogram all that is counted in @other.
 */
void histogram_add(Histogram *histogram, const Histogram *other);

/*
 * histogram_percentile: the value that @percentile (0 to 100) percent of all values are not above,
 * at most a thousandth above the exact one, and never above the maximum. 0 if there are none.
 */
uint64_t histogram_percentile(const Histogram *histogram, double percentile);

/*
 * histogram_deviation: the standard deviation of all values, in nanoseconds; 0 if there are none.
 */
double histogram_deviation(const Histogram *histogram);

/*
 * histogram_bucket: the bucket of number @index, below HISTOGRAM_SIZE; most are empty.
 */
HistogramBucket histogram_bucket(const Histogram *histogram, size_t index);
