/* SPDX-License-Identifier: MIT */
#include "client/monitor.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/instant.h"

static const char *const monitor_names[] = {
        [MONITOR_OK] = "OK",
        [MONITOR_WARNING] = "WARNING",
        [MONITOR_CRITICAL] = "CRITICAL",
        [MONITOR_UNKNOWN] = "UNKNOWN",
};

MonitorState monitor_state(const Report *report, const ClientOptions *options) {
        uint64_t answered = report->latency.count;

        switch (report->failure.kind) {
        case FAILURE_RESOLVE:
        case FAILURE_LOCAL:
        case FAILURE_INTERRUPTED:
                return MONITOR_UNKNOWN;
        default:
                break;
        }
        if (answered == 0 ||
            (options->critical > 0 && report->latency.mean > (double)options->critical))
                return MONITOR_CRITICAL;
        if (answered < report->attempts ||
            (options->warn > 0 && report->latency.mean > (double)options->warn))
                return MONITOR_WARNING;
        return MONITOR_OK;
}

/* An empty threshold is none. */
static void monitor_print_threshold(uint64_t threshold) {
        putchar(';');
        if (threshold > 0)
                printf("%.9g", (double)threshold / (double)INSTANT_MILLISECOND);
}

static void monitor_print_performance(const Report *report, const ClientOptions *options) {
        const Histogram *latency = &report->latency;
        double lost = 100 * (double)(report->attempts - latency->count) / (double)report->attempts;

        printf(" | rta=%.3fms", latency->mean / (double)INSTANT_MILLISECOND);
        monitor_print_threshold(options->warn);
        monitor_print_threshold(options->critical);
        printf(";0 rtmin=%.3fms;;;0 rtmax=%.3fms;;;0 p99=%.3fms;;;0 pl=%.3g%%;;;0;100",
               (double)latency->minimum / (double)INSTANT_MILLISECOND,
               (double)latency->maximum / (double)INSTANT_MILLISECOND,
               (double)histogram_percentile(latency, 99) / (double)INSTANT_MILLISECOND, lost);
}

void monitor_print(const Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE];

        target_format(&options->target, target);
        printf("ECHO %s - ", monitor_names[monitor_state(report, options)]);
        if (report->attempts == 0) {
                puts(report->failure.text);
                return;
        }
        printf("%s: %" PRIu64 " of %" PRIu64 " answered", target, report->latency.count,
               report->attempts);
        if (report->latency.count > 0)
                printf(", average %.3f ms", report->latency.mean / (double)INSTANT_MILLISECOND);
        report_print_errors(report);
        if (report->latency.count > 0)
                monitor_print_performance(report, options);
        putchar('\n');
}

void monitor_print_unknown(const char *why) {
        printf("ECHO %s - %s\n", monitor_names[MONITOR_UNKNOWN], why);
}
