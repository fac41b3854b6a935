/* SPDX-License-Identifier: MIT */
#include "client/chart.h"

#include <inttypes.h>
#include <math.h>

#include "client/instant.h"

enum {
        CHART_ROWS = 10,
        /* What a row has beside its bar: label, unit, bars' ends and count. */
        CHART_MARGIN = 28,
        CHART_BAR_MINIMUM = 5,
        CHART_BAR_MAXIMUM = 50,
};

/* A range that three digits cannot tell apart is one row. */
#define CHART_RATIO_MINIMUM 1.001

typedef struct Chart {
        uint64_t counts[CHART_ROWS];
        uint64_t largest;
        int rows;
        double minimum;
        /* How many times larger a row's upper end is than its lower one. */
        double ratio;
} Chart;

static int chart_row(const Chart *chart, uint64_t value) {
        double row = (double)value <= chart->minimum
                                     ? 0
                                     : log((double)value / chart->minimum) / log(chart->ratio);

        return row >= chart->rows ? chart->rows - 1 : (int)row;
}

static void chart_init(Chart *ret_chart, const Histogram *histogram) {
        Chart chart = { .rows = CHART_ROWS };
        double range;

        chart.minimum = histogram->minimum == 0 ? 1 : (double)histogram->minimum;
        range = (double)histogram->maximum / chart.minimum;
        if (range < CHART_RATIO_MINIMUM) {
                range = CHART_RATIO_MINIMUM;
                chart.rows = 1;
        }
        chart.ratio = pow(range, 1.0 / chart.rows);
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(histogram, i);

                if (bucket.count > 0)
                        chart.counts[chart_row(&chart, bucket.lowest)] += bucket.count;
        }
        for (int row = 0; row < chart.rows; row++)
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
        for (int row = 0; row < chart.rows; row++) {
                double part = (double)chart.counts[row] / (double)chart.largest;
                double end = row == chart.rows - 1 ? (double)histogram->maximum
                                                   : chart.minimum * pow(chart.ratio, row + 1);

                /* Whatever is not nothing is seen. */
                fprintf(file, "%11.3f ms |%-*.*s %" PRIu64 "\n", end / INSTANT_MILLISECOND, room,
                        (int)ceil(part * room), bar, chart.counts[row]);
        }
}
