/* SPDX-License-Identifier: MIT */
/* The histogram: held against the same values, sorted. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/value/histogram.h"

enum {
        VALUES = 100000,
};

static Histogram histogram, other;
static uint64_t values[VALUES];

static int clear(void **state) {
        (void)state;
        memset(&histogram, 0, sizeof histogram);
        memset(&other, 0, sizeof other);
        srand48(862);
        return 0;
}

static int compare(const void *left, const void *right) {
        uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

        return (a > b) - (a < b);
}

static uint64_t uniform(void) {
        return (uint64_t)lrand48() % 1000000;
}

/* From 1 us to 1 h, each order of magnitude as likely as the others. */
static uint64_t wide(void) {
        return (uint64_t)exp(log(1e3) + drand48() * (log(3.6e12) - log(1e3)));
}

/* Almost all near 20 us, one in a thousand near 200 ms. */
static uint64_t tailed(void) {
        return (uint64_t)(lrand48() % 1000 == 0 ? 2e8 + 1e7 * drand48() : 2e4 + 1e3 * drand48());
}

static uint64_t constant(void) {
        return 123456789;
}

static uint64_t (*const distributions[])(void) = { uniform, wide, tailed, constant };

static void fill(uint64_t (*draw)(void), size_t count) {
        clear(NULL);
        for (size_t i = 0; i < count; i++)
                histogram_record(&histogram, values[i] = draw());
        qsort(values, count, sizeof values[0], compare);
}

/* A quantile is never below the exact one, by nearest rank, and at most a thousandth above it. */
static void test_quantiles(void **state) {
        static const unsigned permilles[] = { 0, 1, 10, 250, 500, 750, 900, 990, 999, 1000 };
        static const size_t counts[] = { 1, 2, 3, 10, 999, 1000, 2000, VALUES };

        (void)state;
        for (size_t d = 0; d < sizeof distributions / sizeof distributions[0]; d++)
                for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                        fill(distributions[d], counts[c]);
                        for (size_t p = 0; p < sizeof permilles / sizeof permilles[0]; p++) {
                                size_t rank = (counts[c] * permilles[p] + 999) / 1000;
                                uint64_t exact = values[rank < 1 ? 0 : rank - 1];
                                uint64_t found = histogram_quantile(&histogram, permilles[p]);

                                assert_in_range(found, exact, exact + exact / 1000);
                        }
                }
}

/* One value of a thousand is above 99.9 percent, and so is one of each thousand of many. */
static void test_ranks(void **state) {
        (void)state;
        for (unsigned thousands = 1; thousands <= 200; thousands++) {
                for (int i = 0; i < 999; i++)
                        histogram_record(&histogram, 100);
                histogram_record(&histogram, 500);
                assert_int_equal(histogram_quantile(&histogram, 999), 100);
                assert_int_equal(histogram_quantile(&histogram, 1000), 500);
        }
}

/* A quantile needs a value above it. */
static void test_enough(void **state) {
        static const struct {
                unsigned permille;
                uint64_t least;
        } cases[] = { { 500, 2 }, { 900, 10 }, { 990, 100 }, { 999, 1000 } };

        (void)state;
        for (uint64_t count = 1; count <= 1000; count++) {
                histogram_record(&histogram, count);
                for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                        assert_int_equal(histogram_has_quantile(&histogram, cases[i].permille),
                                         count >= cases[i].least);
        }
}

/* Minimum, maximum and count are exact, mean and deviation as exact as doubles are. */
static void test_moments(void **state) {
        (void)state;
        for (size_t d = 0; d < sizeof distributions / sizeof distributions[0]; d++) {
                long double mean = 0, squares = 0;

                fill(distributions[d], VALUES);
                for (size_t i = 0; i < VALUES; i++)
                        mean += (long double)values[i] / VALUES;
                for (size_t i = 0; i < VALUES; i++)
                        squares += ((long double)values[i] - mean) *
                                   ((long double)values[i] - mean);
                assert_int_equal(histogram.count, VALUES);
                assert_int_equal(histogram.minimum, values[0]);
                assert_int_equal(histogram.maximum, values[VALUES - 1]);
                assert_true(fabsl(histogram.mean - mean) <= 1e-9L * mean);
                assert_true(fabsl(histogram_deviation(&histogram) - sqrtl(squares / VALUES)) <=
                            1e-6L * sqrtl(squares / VALUES) + 1e-3L);
        }
}

static void expect_sum(const Histogram *one, const Histogram *two, const Histogram *whole) {
        static Histogram sum;
        uint64_t count = 0;

        memset(&sum, 0, sizeof sum);
        histogram_add(&sum, one);
        histogram_add(&sum, two);
        histogram_add(&sum, &(Histogram){});
        assert_memory_equal(sum.counts, whole->counts, sizeof whole->counts);
        assert_int_equal(sum.minimum, whole->minimum);
        assert_int_equal(sum.maximum, whole->maximum);
        assert_true(fabs(sum.mean - whole->mean) <= 1e-9 * whole->mean);
        assert_true(fabs(histogram_deviation(&sum) - histogram_deviation(whole)) <=
                    1e-9 * histogram_deviation(whole));
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++)
                count += sum.counts[i];
        assert_int_equal(count, VALUES);
}

/* Two histograms added are the histogram of all their values, in either order. */
static void test_add(void **state) {
        static Histogram whole;

        (void)state;
        memset(&whole, 0, sizeof whole);
        for (size_t i = 0; i < VALUES; i++) {
                uint64_t value = wide();

                histogram_record(&whole, value);
                histogram_record(i % 3 == 0 ? &histogram : &other, value);
        }
        expect_sum(&histogram, &other, &whole);
        expect_sum(&other, &histogram, &whole);
}

/* Buckets follow each other without gap or overlap, none wider than a thousandth of its values. */
static void test_buckets(void **state) {
        uint64_t next = 0;

        (void)state;
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(&histogram, i);

                assert_int_equal(bucket.lowest, next);
                assert_true(bucket.highest - bucket.lowest <= bucket.lowest / 1000);
                next = bucket.highest + 1;
        }
        assert_true(next > HISTOGRAM_MAXIMUM);
}

/* Every value is counted in the bucket that says so, at both of its edges. */
static void test_edges(void **state) {
        (void)state;
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(&histogram, i);

                if (bucket.highest > HISTOGRAM_MAXIMUM)
                        break;
                histogram_record(&histogram, bucket.lowest);
                histogram_record(&histogram, bucket.highest);
                assert_int_equal(histogram.counts[i], 2);
        }
}

/* More than an hour counts as an hour; an empty histogram says 0 to everything. */
static void test_limits(void **state) {
        (void)state;
        assert_int_equal(histogram_quantile(&histogram, 500), 0);
        assert_true(histogram_deviation(&histogram) == 0);
        histogram_record(&histogram, UINT64_MAX);
        assert_int_equal(histogram.maximum, HISTOGRAM_MAXIMUM);
        assert_int_equal(histogram_quantile(&histogram, 1000), HISTOGRAM_MAXIMUM);
        histogram_record(&histogram, 0);
        assert_int_equal(histogram.minimum, 0);
        assert_int_equal(histogram_quantile(&histogram, 500), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_quantiles, clear),
                cmocka_unit_test_setup(test_ranks, clear),
                cmocka_unit_test_setup(test_enough, clear),
                cmocka_unit_test_setup(test_moments, clear),
                cmocka_unit_test_setup(test_add, clear),
                cmocka_unit_test_setup(test_buckets, clear),
                cmocka_unit_test_setup(test_edges, clear),
                cmocka_unit_test_setup(test_limits, clear),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
