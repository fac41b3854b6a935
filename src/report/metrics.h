/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/end_reason.h"

/* Writes the counts of the service in the text format of Prometheus and in OpenMetrics 1.0. */

/* The reasons for which the service resets a client; the label of a metric names them. */
enum {
        METRICS_MAX_PER_SOURCE,
        METRICS_DESCRIPTORS,
        METRICS_PROCESSES,
        METRICS_MEMORY,
        METRICS_PROXY_FROM,
        METRICS_PROXY_HEADER,
        METRICS_LIMITS,
};

/* What became of a datagram: each GuardVerdict by its number, then those that were too long or
 * whose answer the kernel did not take. */
enum {
        METRICS_ANSWERED,
        METRICS_SOURCE,
        METRICS_DESTINATION,
        METRICS_PORT,
        METRICS_SELF,
        METRICS_RATE,
        METRICS_OVERALL,
        METRICS_DROPPED,
        METRICS_RESULTS,
};

enum {
        /* Buckets of the histogram; the last one has no limit. */
        METRICS_DURATIONS = 10,
        /* Room for all metrics, whatever their values. */
        METRICS_SIZE = 8192,
};

/* The counts that outlive the service: a part of the ledger. */
typedef struct MetricsCounts {
        uint64_t accepted;
        uint64_t resumed;
        uint64_t closed[END_COUNT]; /* by EndReason */
        uint64_t crashed;
        uint64_t refused[METRICS_LIMITS];
        uint64_t bytes; /* echoed on connections that have ended */
        uint64_t durations[METRICS_DURATIONS];
        uint64_t duration; /* of all connections that have ended, in microseconds */
        uint64_t datagrams[METRICS_RESULTS];
        uint64_t datagram_bytes;
        uint64_t lost; /* records */
} MetricsCounts;

/* All that is written. */
typedef struct Metrics {
        MetricsCounts counts; /* its bytes are also those of live connections */
        uint64_t live;
        uint64_t limit;   /* --max-connections */
        uint64_t started; /* when this run began, in seconds since 1970 */
} Metrics;

typedef enum MetricsFormat {
        METRICS_TEXT, /* version 0.0.4 of the text format of Prometheus */
        METRICS_OPEN, /* OpenMetrics 1.0.0 */
        METRICS_FORMATS,
} MetricsFormat;

/* metrics_limit_text: Returns the name of a @limit, a constant string. */
const char *metrics_limit_text(int limit);

/*
 * metrics_count_end: Counts a connection that ended after @duration nanoseconds: its handler
 * @crashed, or gave a @reason.
 *
 * metrics_refused: Returns how many clients were refused, for any limit.
 */
void metrics_count_end(MetricsCounts *counts, bool crashed, EndReason reason, uint64_t duration);
uint64_t metrics_refused(const MetricsCounts *counts);

/* metrics_format: Writes @metrics to @text, with a terminating NUL. Returns the length. */
size_t metrics_format(const Metrics *metrics, MetricsFormat format, char text[static METRICS_SIZE]);
