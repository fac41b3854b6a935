/* SPDX-License-Identifier: MIT */
/* cbmc: src/client/value/histogram.c --unwind 2 --slice-formula */
/* smaller: s/HISTOGRAM_HALF_BITS = 10/HISTOGRAM_HALF_BITS = 3/ src/client/value/histogram.h */
/* Each duration has a bucket of the histogram, which contains it and is never wider than a
 * thousandth of it; the buckets follow each other without a gap. */
#include "client/value/histogram.h"

#include "prove.h"

void harness(void) {
        static Histogram histogram;
        const uint64_t value = nondet_uint64();
        HistogramBucket bucket, next;
        size_t index;

        histogram_record(&histogram, value);
        prove(histogram.count == 1, "each duration is counted");

        assume(value <= HISTOGRAM_MAXIMUM);
        index = histogram_index(value);
        prove(index + 1 < HISTOGRAM_SIZE, "each duration has a bucket");
        bucket = histogram_bucket(&histogram, index);
        prove(bucket.lowest <= value && value <= bucket.highest,
              "the bucket contains the duration");
        prove(bucket.count == 1, "the duration is counted in its bucket");
        prove((bucket.highest - bucket.lowest) <= value / HISTOGRAM_HALF, "a bucket is narrow");
        next = histogram_bucket(&histogram, index + 1);
        prove(next.lowest == bucket.highest + 1, "the buckets follow each other");
}
