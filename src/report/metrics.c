/* SPDX-License-Identifier: MIT */
/*
 * The metrics of the service, as monitoring systems read them. One table has the name, the type and
 * the explanation of each metric; a metric with a label has a value for each of its words. The
 * histogram of durations is the only one with a shape of its own.
 *
 * The two formats differ in little. OpenMetrics names a counter without the "_total" of its values,
 * has a type for constant labels, and ends in a line that says so.
 *
 * No label may name a peer: whoever connects could choose the number of time series. A metric that
 * is published keeps its name and its labels.
 */
#include "report/metrics.h"

#include <inttypes.h>

#include "lib/clock.h"
#include "report/line.h"
#include "report/record.h"

typedef enum MetricType {
        TYPE_GAUGE,
        TYPE_COUNTER,
        TYPE_INFO,
        TYPE_HISTOGRAM,
} MetricType;

/* A metric whose values follow one another in Metrics, one for each word of its label. */
typedef struct Metric {
        const char *name;
        const char *help;
        MetricType type;
        size_t offset;
        const char *label; /* NULL for a single value */
        const char *const *words;
        size_t n;
} Metric;

static const char *const limits[METRICS_LIMITS] = {
        [METRICS_MAX_PER_SOURCE] = "max-per-source", [METRICS_DESCRIPTORS] = "descriptors",
        [METRICS_PROCESSES] = "processes",           [METRICS_MEMORY] = RECORD_LIMIT_MEMORY,
        [METRICS_PROXY_FROM] = RECORD_LIMIT_FROM,    [METRICS_PROXY_HEADER] = RECORD_LIMIT_HEADER,
};

static const char *const results[METRICS_RESULTS] = {
        [METRICS_ANSWERED] = "answered",
        [METRICS_SOURCE] = "source",
        [METRICS_DESTINATION] = "destination",
        [METRICS_PORT] = "port",
        [METRICS_SELF] = "self",
        [METRICS_RATE] = "rate",
        [METRICS_OVERALL] = "overall",
        [METRICS_DROPPED] = "dropped",
};

#define FIELD(member) .offset = offsetof(Metrics, member)
#define COUNT(member) .type = TYPE_COUNTER, FIELD(counts.member)
#define WORDS(texts)  .words = (texts), .n = sizeof(texts) / sizeof((texts)[0])

static const Metric metrics_table[] = {
        { "mpecho_start_time_seconds", "When this run of the service began, since 1970.",
          FIELD(started) },
        { "mpecho_connections", "Live connections.", FIELD(live) },
        { "mpecho_connections_limit", "The most live connections that the service allows.",
          FIELD(limit) },
        { "mpecho_connections_accepted", "Connections that the service accepted.",
          COUNT(accepted) },
        { "mpecho_connections_resumed", "Connections that went on in a new run of the service.",
          COUNT(resumed) },
        { "mpecho_connections_closed", "Connections that ended, by the reason.", COUNT(closed),
          .label = "reason", .n = END_COUNT },
        { "mpecho_connections_crashed",
          "Connections whose handler a signal killed, or that systemd's store lacked.",
          COUNT(crashed) },
        { "mpecho_connections_refused", "Clients that the service reset, by the limit.",
          COUNT(refused), .label = "limit", WORDS(limits) },
        { "mpecho_connections_echoed_bytes", "Bytes echoed on connections.", COUNT(bytes) },
        { "mpecho_datagrams", "Datagrams received, by the result.", COUNT(datagrams),
          .label = "result", WORDS(results) },
        { "mpecho_datagrams_echoed_bytes", "Bytes echoed in datagrams.", COUNT(datagram_bytes) },
        { "mpecho_records_lost", "Log records that the journal did not accept.", COUNT(lost) },
};

/* The limits of the buckets, as the formats write them. */
static const struct {
        const char *text;
        uint64_t most;
} buckets[METRICS_DURATIONS] = {
        { "0.001", CLOCK_MILLISECOND },      { "0.01", 10 * CLOCK_MILLISECOND },
        { "0.1", 100 * CLOCK_MILLISECOND },  { "1.0", CLOCK_SECOND },
        { "10.0", 10 * CLOCK_SECOND },       { "60.0", 60 * CLOCK_SECOND },
        { "600.0", 600 * CLOCK_SECOND },     { "3600.0", 3600 * CLOCK_SECOND },
        { "86400.0", 86400 * CLOCK_SECOND }, { "+Inf", CLOCK_NEVER },
};

const char *metrics_limit_text(int limit) {
        return limits[limit];
}

void metrics_count_end(MetricsCounts *counts, bool crashed, EndReason reason, uint64_t duration) {
        size_t i = 0;

        (*(crashed ? &counts->crashed : &counts->closed[reason]))++;
        while (duration > buckets[i].most)
                i++;
        counts->durations[i]++;
        counts->duration += duration / CLOCK_MICROSECOND;
}

uint64_t metrics_refused(const MetricsCounts *counts) {
        uint64_t refused = 0;

        for (int i = 0; i < METRICS_LIMITS; i++)
                refused += counts->refused[i];
        return refused;
}

/* The suffix of a metric's values, and the name of its type in each format. */
static const struct {
        const char *suffix;
        const char *names[METRICS_FORMATS];
} types[] = {
        [TYPE_GAUGE] = { "", { "gauge", "gauge" } },
        [TYPE_COUNTER] = { "_total", { "counter", "counter" } },
        [TYPE_INFO] = { "_info", { "gauge", "info" } },
        [TYPE_HISTOGRAM] = { "", { "histogram", "histogram" } },
};

static void metrics_add_head(Line *line, MetricsFormat format, const char *name, MetricType type,
                             const char *help) {
        const char *suffix = format == METRICS_TEXT ? types[type].suffix : "";

        line_add(line, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
                 types[type].names[format]);
}

static void metrics_add(Line *line, MetricsFormat format, const Metric *metric,
                        const Metrics *metrics) {
        const char *member = (const char *)metrics + metric->offset;
        const uint64_t *values = (const uint64_t *)(const void *)member;
        const char *suffix = types[metric->type].suffix;

        metrics_add_head(line, format, metric->name, metric->type, metric->help);
        if (metric->label == NULL)
                line_add(line, "%s%s %" PRIu64 "\n", metric->name, suffix, values[0]);
        for (size_t i = 0; i < metric->n; i++)
                line_add(line, "%s%s{%s=\"%s\"} %" PRIu64 "\n", metric->name, suffix, metric->label,
                         metric->words != NULL ? metric->words[i] : end_reason_text((EndReason)i),
                         values[i]);
}

static void metrics_add_durations(Line *line, MetricsFormat format, const MetricsCounts *counts) {
        static const char name[] = "mpecho_connection_duration_seconds";
        uint64_t n = 0;

        metrics_add_head(line, format, name, TYPE_HISTOGRAM,
                         "How long connections lasted that have ended.");
        for (int i = 0; i < METRICS_DURATIONS; i++) {
                n += counts->durations[i];
                line_add(line, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, buckets[i].text, n);
        }
        line_add(line, "%s_sum %" PRIu64 ".%06" PRIu64 "\n%s_count %" PRIu64 "\n", name,
                 counts->duration / 1000000, counts->duration % 1000000, name, n);
}

size_t metrics_format(const Metrics *metrics, MetricsFormat format,
                      char text[static METRICS_SIZE]) {
        Line line = { .text = text, .size = METRICS_SIZE };

        metrics_add_head(&line, format, "mpecho_build", TYPE_INFO, "The version of the service.");
        line_add(&line, "mpecho_build_info{version=\"" MPECHO_VERSION "\"} 1\n");
        for (size_t i = 0; i < sizeof metrics_table / sizeof metrics_table[0]; i++)
                metrics_add(&line, format, &metrics_table[i], metrics);
        metrics_add_durations(&line, format, &metrics->counts);
        if (format == METRICS_OPEN)
                line_add(&line, "# EOF\n");
        return line.length;
}
