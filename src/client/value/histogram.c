/* SPDX-License-Identifier: MIT */
/*
 * Counts durations in buckets as fine as a thousandth of their values, in constant memory and time.
 *
 * Values below 2 * HISTOGRAM_HALF have a bucket each. A larger value is shifted right until it fits
 * in the upper half of these; each shift is a further row of HISTOGRAM_HALF buckets. Ranks of
 * quantiles are integers: floating point is off by one at round counts, where users look.
 *
 * Processes write to histograms in shared memory while others read them. A reader may see a value
 * in one count and not yet in another, but must never see an invalid one.
 */
#include "client/value/histogram.h"

#include <math.h>

static unsigned histogram_shift(uint64_t value) {
        unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);

        return bits > HISTOGRAM_HALF_BITS + 1 ? bits - (HISTOGRAM_HALF_BITS + 1) : 0;
}

size_t histogram_index(uint64_t value) {
        unsigned shift = histogram_shift(value);

        return (size_t)shift * HISTOGRAM_HALF + (size_t)(value >> shift);
}

HistogramBucket histogram_bucket(const Histogram *histogram, size_t index) {
        unsigned shift = index / HISTOGRAM_HALF < 2 ? 0 : (unsigned)(index / HISTOGRAM_HALF) - 1;
        uint64_t lowest = (uint64_t)(index - (size_t)shift * HISTOGRAM_HALF) << shift;

        return (HistogramBucket){
                .lowest = lowest,
                .highest = lowest + (UINT64_C(1) << shift) - 1,
                .count = histogram->counts[index],
        };
}

void histogram_record(Histogram *histogram, uint64_t value) {
        double difference;

        if (value > HISTOGRAM_MAXIMUM)
                value = HISTOGRAM_MAXIMUM;
        if (histogram->count == 0 || value < histogram->minimum)
                histogram->minimum = value;
        if (value > histogram->maximum)
                histogram->maximum = value;
        histogram->count++;
        histogram->counts[histogram_index(value)]++;
        /* Welford's algorithm: sums of squares would lose the significant digits. */
        difference = (double)value - histogram->mean;
        histogram->mean += difference / (double)histogram->count;
        histogram->squares += difference * ((double)value - histogram->mean);
}

void histogram_add(Histogram *histogram, const Histogram *other) {
        double difference = other->mean - histogram->mean;
        double here = (double)histogram->count, there = (double)other->count;

        if (other->count == 0)
                return;
        if (histogram->count == 0 || other->minimum < histogram->minimum)
                histogram->minimum = other->minimum;
        if (other->maximum > histogram->maximum)
                histogram->maximum = other->maximum;
        histogram->count += other->count;
        histogram->mean += difference * there / (here + there);
        histogram->squares +=
                        other->squares + difference * difference * here * there / (here + there);
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++)
                histogram->counts[i] += other->counts[i];
}

uint64_t histogram_quantile(const Histogram *histogram, unsigned permille) {
        /* In integers: 99.9 / 100 * 1000 is a little more than 999 in doubles. */
        uint64_t rank = histogram->count / 1000 * permille +
                        (histogram->count % 1000 * permille + 999) / 1000;
        uint64_t seen = 0;

        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(histogram, i);

                seen += bucket.count;
                if (bucket.count > 0 && seen >= rank)
                        return bucket.highest < histogram->maximum ? bucket.highest
                                                                   : histogram->maximum;
        }
        return histogram->maximum;
}

bool histogram_has_quantile(const Histogram *histogram, unsigned permille) {
        return histogram->count >= (1999 - permille) / (1000 - permille);
}

double histogram_deviation(const Histogram *histogram) {
        return histogram->count == 0 ? 0 : sqrt(histogram->squares / (double)histogram->count);
}
