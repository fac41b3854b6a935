/* SPDX-License-Identifier: MIT */
/*
 * Draws a histogram as rows of text.
 *
 * A row covers whole neighbouring buckets, the same number in each row but the last: a row that cut
 * a bucket would show gaps that no measured time has. Buckets grow with their values, and so do
 * rows: a wide range is divided about evenly on a logarithmic scale.
 *
 * The chart must never hide a value: a bar of a counted value has at least one character, and the
 * last label is the maximum.
 */
#include "client/output/chart.h"

#include <inttypes.h>

#include "client/value/quantity.h"

enum {
        CHART_ROWS = 10,
        /* The columns of a row beside its bar: label, ends of the bar, count. */
        CHART_MARGIN = 28,
        CHART_BAR_MINIMUM = 5,
        CHART_BAR_MAXIMUM = 50,
};

typedef struct Chart {
        uint64_t counts[CHART_ROWS];
        uint64_t largest;
        size_t rows;
        /* The first bucket, and the number of buckets in a row. */
        size_t first;
        size_t buckets;
} Chart;

static void chart_init(Chart *ret_chart, const Histogram *histogram) {
        size_t first = histogram_index(histogram->minimum);
        size_t all = histogram_index(histogram->maximum) - first + 1;
        Chart chart = { .first = first, .buckets = (all + CHART_ROWS - 1) / CHART_ROWS };

        chart.rows = (all + chart.buckets - 1) / chart.buckets;
        for (size_t i = 0; i < all; i++)
                chart.counts[i / chart.buckets] += histogram_bucket(histogram, first + i).count;
        for (size_t row = 0; row < chart.rows; row++)
                if (chart.counts[row] > chart.largest)
                        chart.largest = chart.counts[row];
        *ret_chart = chart;
}

static int chart_bar_width(int width) {
        int bar = width - CHART_MARGIN;

        if (bar < CHART_BAR_MINIMUM)
                return CHART_BAR_MINIMUM;
        return bar > CHART_BAR_MAXIMUM ? CHART_BAR_MAXIMUM : bar;
}

void chart_print(const Histogram *histogram, FILE *file, int width) {
        static const char bar[CHART_BAR_MAXIMUM + 1] =
                        "##################################################";
        int room = chart_bar_width(width);
        Chart chart;

        if (histogram->count < 2)
                return;
        chart_init(&chart, histogram);
        for (size_t row = 0; row < chart.rows; row++) {
                size_t last = chart.first + (row + 1) * chart.buckets - 1;
                uint64_t end = row + 1 == chart.rows ? histogram->maximum
                                                     : histogram_bucket(histogram, last).highest;
                double part = (double)chart.counts[row] / (double)chart.largest;
                /* A counted value must show. */
                int length = (int)(part * room) + (chart.counts[row] > 0 && part < 1);
                char label[QUANTITY_TEXT_SIZE];

                fprintf(file, "%11s |%-*.*s %" PRIu64 "\n",
                        quantity_format_duration((double)end, label), room, length, bar,
                        chart.counts[row]);
        }
}
