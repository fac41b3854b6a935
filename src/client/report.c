/* SPDX-License-Identifier: MIT */
#include "client/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/chart.h"
#include "client/connection.h"
#include "client/export.h"
#include "client/instant.h"
#include "client/monitor.h"
#include "client/quantity.h"
#include "client/report_json.h"
#include "client/terminal.h"

void report_set_peer(Report *report, int fd) {
        Endpoint endpoint;

        if (connection_get_peer(fd, &endpoint) == 0)
                endpoint_format(&endpoint, report->peer);
}

double report_rate(uint64_t bytes, uint64_t time) {
        return time == 0 ? 0 : (double)bytes / ((double)time / (double)INSTANT_SECOND);
}

static void report_print_check(const Report *report, const char *target) {
        char there[QUANTITY_TEXT_SIZE], back[QUANTITY_TEXT_SIZE];

        if (report->failure.kind == FAILURE_NONE)
                printf("%s: intact", target);
        else
                printf("%s: %s: %s", target, failure_kind_name(report->failure.kind),
                       report->failure.text);
        printf(": %" PRIu64 " bytes sent, %" PRIu64 " came back in %.3f s, %s/s there, %s/s back\n",
               report->bytes_sent, report->bytes_received,
               (double)report->elapsed / (double)INSTANT_SECOND,
               quantity_format_bytes(report_rate(report->bytes_sent, report->send_time), there),
               quantity_format_bytes(report_rate(report->bytes_received, report->receive_time),
                                     back));
}

static double report_milliseconds(double time) {
        return time / (double)INSTANT_MILLISECOND;
}

static double report_percentile(const Histogram *latency, double percentile) {
        return report_milliseconds((double)histogram_percentile(latency, percentile));
}

static void report_print_latency(const Histogram *latency, const ClientOptions *options) {
        if (latency->count == 0)
                return;
        printf("min/avg/max/stddev = %.3f/%.3f/%.3f/%.3f ms\n",
               report_milliseconds((double)latency->minimum), report_milliseconds(latency->mean),
               report_milliseconds((double)latency->maximum),
               report_milliseconds(histogram_deviation(latency)));
        printf("p50/p90/p99/p99.9 = %.3f/%.3f/%.3f/%.3f ms\n", report_percentile(latency, 50),
               report_percentile(latency, 90), report_percentile(latency, 99),
               report_percentile(latency, 99.9));
        if (!options->quiet)
                chart_print(latency, stdout, terminal_width(STDOUT_FILENO));
}

void report_print_errors(const Report *report) {
        const char *separator = " (";
        bool any = false;

        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                if (report->errors[kind] > 0) {
                        printf("%s%" PRIu64 " %s", separator, report->errors[kind],
                               failure_kind_name((FailureKind)kind));
                        separator = ", ";
                        any = true;
                }
        if (any)
                putchar(')');
}

static void report_print_ping(const Report *report, const ClientOptions *options,
                              const char *target) {
        uint64_t answered = report->latency.count;

        if (client_options_want_lines(options))
                putchar('\n');
        printf("%s: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " lost", target,
               report->attempts, answered, report->attempts - answered);
        report_print_errors(report);
        printf(" in %.3f s\n", (double)report->elapsed / (double)INSTANT_SECOND);
        report_print_latency(&report->latency, options);
}

static void report_print_load(const Report *report, const ClientOptions *options,
                              const char *target) {
        char there[QUANTITY_TEXT_SIZE], back[QUANTITY_TEXT_SIZE];
        const ReportWindow *window = &report->window;
        uint64_t errors = 0;

        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                errors += report->errors[kind];
        printf("%s: load of %s, %" PRIu64 " at once, from %" PRIu64 " processes, for %.3f s, "
               "drained in %.3f s\n",
               target, client_load_name(options->load), options->connections, report->processes,
               (double)window->elapsed / (double)INSTANT_SECOND,
               (double)(report->elapsed - window->elapsed) / (double)INSTANT_SECOND);
        if (options->load != LOAD_STREAMS)
                printf("%" PRIu64 " answered, %.1f/s, %" PRIu64 " bytes each\n", report->answered,
                       report_rate(window->answered, window->elapsed), options->size);
        printf("%" PRIu64 " bytes sent, %" PRIu64 " came back, %s/s there, %s/s back\n",
               report->bytes_sent, report->bytes_received,
               quantity_format_bytes(report_rate(window->bytes_sent, window->elapsed), there),
               quantity_format_bytes(report_rate(window->bytes_received, window->elapsed), back));
        printf("%" PRIu64 " errors", errors);
        report_print_errors(report);
        if (report->reconnects > 0)
                printf(", %" PRIu64 " reconnects", report->reconnects);
        if (report->overdue > 0)
                printf(", %" PRIu64 " due but not begun%s", report->overdue,
                       errors > 0 ? "" : ": the rate is too high");
        putchar('\n');
        if (report->failure.kind != FAILURE_NONE)
                printf("%s: %s\n", failure_kind_name(report->failure.kind), report->failure.text);
        report_print_latency(&report->latency, options);
}

void report_export(Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE], title[TARGET_TEXT_SIZE + 64];
        Failure failure = {};

        if (report->latency.count > 0 && options->csv != NULL)
                (void)export_csv(&report->latency, options->csv, &failure);
        if (report->latency.count > 0 && options->plot != NULL) {
                target_format(&options->target, target);
                snprintf(title, sizeof title, "%s: %" PRIu64 " round trips", target,
                         report->latency.count);
                (void)export_plot(&report->latency, options->plot, title, &failure);
        }
        if (failure.kind == FAILURE_NONE)
                return;
        fprintf(stderr, "mpecho-client: %s\n", failure.text);
        if (report->failure.kind == FAILURE_NONE)
                report->failure = failure;
}

int report_status(const Report *report, const ClientOptions *options) {
        if (options->monitor)
                return (int)monitor_state(report, options);
        return report->failure.kind == FAILURE_NONE ? 0 : 1;
}

static void report_print_text(const Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE];

        target_format(&options->target, target);
        if (report->peer[0] == '\0' || options->action == CLIENT_RELAY) {
                if (report->failure.kind != FAILURE_NONE)
                        fprintf(stderr, "mpecho-client: %s\n", report->failure.text);
        } else if (options->action == CLIENT_CHECK) {
                report_print_check(report, target);
        } else if (options->action == CLIENT_LOAD) {
                report_print_load(report, options, target);
        } else {
                report_print_ping(report, options, target);
        }
}

int report_print(const Report *report, const ClientOptions *options) {
        if (options->monitor)
                monitor_print(report, options);
        else if (options->json)
                /* In the plain mode standard output is the peer's. */
                report_print_json(report, options,
                                  options->action == CLIENT_RELAY ? stderr : stdout);
        else
                report_print_text(report, options);
        if (options->action == CLIENT_RELAY)
                return 0;
        return fflush(stdout) == EOF ? -errno : 0;
}
