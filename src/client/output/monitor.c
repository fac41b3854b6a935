/* SPDX-License-Identifier: MIT */
/*
 * Reports a ping as a monitoring plugin: a state, one line of text, performance data.
 *
 * The state is that of the service. A service that is silent, damages the echo or exceeds the time
 * is CRITICAL, whatever the thresholds allow: they concern slow and lossy services only.
 * Performance data always follow the sentence, because graphs must not have a gap during an outage.
 *
 * Errors on this side are UNKNOWN: a wrong command line must never wake anybody up.
 */
#include "client/output/monitor.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/value/quantity.h"
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

static bool monitor_alerts(const Report *report, const Threshold *threshold) {
        return range_alerts(&threshold->time, report->latency.mean / CLOCK_MILLISECOND) ||
               range_alerts(&threshold->loss, monitor_loss(report));
}

/* Returns whether the run exceeded its limit, -t. */
static bool monitor_is_late(const Report *report, const ClientOptions *options) {
        return report->attempts > 0 &&
               (report->attempts < options->count || report->errors[FAILURE_INTERRUPTED] > 0);
}

MonitorState monitor_state(const Report *report, const ClientOptions *options) {
        const bool bounded = options->warn.loss.text[0] != '\0' ||
                             options->critical.loss.text[0] != '\0';

        switch (report->failure.kind) {
        case FAILURE_RESOLVE:
        case FAILURE_LOCAL:
        case FAILURE_INTERRUPTED:
                return MONITOR_UNKNOWN;
        default:
                break;
        }
        if (report->latency.count == 0 || report->errors[FAILURE_DIFFERS] > 0 ||
            report->counts.unrecognized > 0 || monitor_is_late(report, options) ||
            monitor_alerts(report, &options->critical))
                return MONITOR_CRITICAL;
        if (monitor_alerts(report, &options->warn) || (!bounded && monitor_loss(report) > 0))
                return MONITOR_WARNING;
        return MONITOR_OK;
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
        const Phases *phases = &report->phases;
        char loss[QUANTITY_TEXT_SIZE];

        fputs(" |", stdout);
        monitor_print_time("rta", latency->mean, report);
        printf(";%s;%s;0", options->warn.time.text, options->critical.time.text);
        monitor_print_time("rtmin", (double)latency->minimum, report);
        fputs(";;;0", stdout);
        monitor_print_time("rtmax", (double)latency->maximum, report);
        printf(";;;0 pl=%s%%;%s;%s;0;100", quantity_format_percent(monitor_loss(report), 3, loss),
               options->warn.loss.text, options->critical.loss.text);
        if (report->path.peer[0] != '\0')
                printf(" resolve=%.3fms;;;0 connect=%.3fms;;;0",
                       (double)report->path.resolve / CLOCK_MILLISECOND,
                       (double)report->path.connect / CLOCK_MILLISECOND);
        if (phases->answers > 0)
                printf(" first_byte=%.3fms;;;0 last_byte=%.3fms;;;0",
                       (double)phases->first / (double)phases->answers / CLOCK_MILLISECOND,
                       (double)phases->last / (double)phases->answers / CLOCK_MILLISECOND);
        putchar('\n');
}

void monitor_print(const Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE], seconds[QUANTITY_TEXT_SIZE];

        target_format(&options->target, target);
        printf("ECHO %s - ", monitor_names[monitor_state(report, options)]);
        if (report->attempts == 0) {
                fputs(report->failure.text, stdout);
        } else {
                printf("%s: %" PRIu64 " of %" PRIu64 " answered", target, report->latency.count,
                       report->attempts);
                if (report->latency.count > 0)
                        printf(", mean %.3f ms", report->latency.mean / (double)CLOCK_MILLISECOND);
                report_print_errors(report);
                if (report->counts.unrecognized > 0)
                        printf(", %" PRIu64 " unrecognized", report->counts.unrecognized);
                if (report->failure.kind == FAILURE_INTERRUPTED)
                        fputs(", a signal ended the run", stdout);
                else if (monitor_is_late(report, options))
                        printf(", -t ended the run after %s s",
                               quantity_format_time(options->duration, seconds));
                if (report->foreign[0] != '\0')
                        printf(", %s", report->foreign);
                /* Otherwise these are the errors. */
                for (size_t i = 0; report->path.peer[0] != '\0' && i < report->path.failed_count;
                     i++)
                        printf(", %s", report->path.failed[i]);
        }
        monitor_print_performance(report, options);
}

void monitor_print_unknown(const char *why) {
        printf("ECHO %s - %s\n", monitor_names[MONITOR_UNKNOWN], why);
}
