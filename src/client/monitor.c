/* SPDX-License-Identifier: MIT */
#include "client/monitor.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/clock.h"

static const char *const monitor_names[] = {
        [MONITOR_OK] = "OK",
        [MONITOR_WARNING] = "WARNING",
        [MONITOR_CRITICAL] = "CRITICAL",
        [MONITOR_UNKNOWN] = "UNKNOWN",
};

static double monitor_loss(const Report *report) {
        if (report->attempts == 0)
                return 100;
        return 100 * (double)(report->attempts - report->latency.count) / (double)report->attempts;
}

static bool monitor_exceeds(const Report *report, const Threshold *threshold) {
        return (threshold->time > 0 && report->latency.mean > (double)threshold->time) ||
               (threshold->loss > 0 && monitor_loss(report) >= (double)threshold->loss);
}

MonitorState monitor_state(const Report *report, const ClientOptions *options) {
        const bool bounded = options->warn.loss > 0 || options->critical.loss > 0;

        switch (report->failure.kind) {
        case FAILURE_RESOLVE:
        case FAILURE_LOCAL:
        case FAILURE_INTERRUPTED:
                return MONITOR_UNKNOWN;
        default:
                break;
        }
        if (report->latency.count == 0 || report->errors[FAILURE_DIFFERS] > 0 ||
            report->attempts < options->count || monitor_exceeds(report, &options->critical))
                return MONITOR_CRITICAL;
        if (monitor_exceeds(report, &options->warn) || (!bounded && monitor_loss(report) > 0))
                return MONITOR_WARNING;
        return MONITOR_OK;
}

/* An empty threshold is none. */
static void monitor_print_threshold(uint64_t threshold, uint64_t unit) {
        putchar(';');
        if (threshold > 0)
                printf("%.9g", (double)threshold / (double)unit);
}

static void monitor_print_time(const char *name, double time, const Report *report) {
        printf(" %s=", name);
        if (report->latency.count == 0)
                putchar('U');
        else
                printf("%.3fms", time / (double)CLOCK_MILLISECOND);
}

static void monitor_print_performance(const Report *report, const ClientOptions *options) {
        const Histogram *latency = &report->latency;

        fputs(" |", stdout);
        monitor_print_time("rta", latency->mean, report);
        monitor_print_threshold(options->warn.time, CLOCK_MILLISECOND);
        monitor_print_threshold(options->critical.time, CLOCK_MILLISECOND);
        fputs(";0", stdout);
        monitor_print_time("rtmin", (double)latency->minimum, report);
        fputs(";;;0", stdout);
        monitor_print_time("rtmax", (double)latency->maximum, report);
        printf(";;;0 pl=%.3g%%", monitor_loss(report));
        monitor_print_threshold(options->warn.loss, 1);
        monitor_print_threshold(options->critical.loss, 1);
        fputs(";0;100", stdout);
        if (report->path.peer[0] != '\0')
                printf(" resolve=%.3fms;;;0 connect=%.3fms;;;0",
                       (double)report->path.resolve / CLOCK_MILLISECOND,
                       (double)report->path.connect / CLOCK_MILLISECOND);
        putchar('\n');
}

void monitor_print(const Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE];

        target_format(&options->target, target);
        printf("ECHO %s - ", monitor_names[monitor_state(report, options)]);
        if (report->attempts == 0) {
                fputs(report->failure.text, stdout);
        } else {
                printf("%s: %" PRIu64 " of %" PRIu64 " answered", target, report->latency.count,
                       report->attempts);
                if (report->latency.count > 0)
                        printf(", average %.3f ms",
                               report->latency.mean / (double)CLOCK_MILLISECOND);
                report_print_errors(report);
                if (report->foreign[0] != '\0')
                        printf(", %s", report->foreign);
        }
        monitor_print_performance(report, options);
}

void monitor_print_unknown(const char *why) {
        printf("ECHO %s - %s\n", monitor_names[MONITOR_UNKNOWN], why);
}
