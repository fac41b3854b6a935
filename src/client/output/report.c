/* SPDX-License-Identifier: MIT */
/*
 * Prints the results of a run for people.
 *
 * Each mode has its own sentences; all modes print times, errors and phases alike. A quantile that
 * needs more values than there are prints as "-", and units follow the size of a value. Results go
 * to standard output, with the one reason why a run failed. A failure that prevented any result
 * goes to standard error.
 *
 * Nothing here changes a result: the exit status follows from the failure in the Report, or from
 * the thresholds of the monitoring plugin.
 */
#include "client/output/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "client/output/chart.h"
#include "client/output/monitor.h"
#include "client/output/report_flows.h"
#include "client/output/report_json.h"
#include "client/output/terminal.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        /* Fewer values are not a distribution. */
        REPORT_CHART_MINIMUM = 10,
};

static void report_print_check(const Report *report, const char *target) {
        char there[QUANTITY_TEXT_SIZE], back[QUANTITY_TEXT_SIZE];

        if (report->failure.kind == FAILURE_NONE)
                printf("%s: intact", target);
        else
                printf("%s: %s: %s", target, failure_kind_name(report->failure.kind),
                       report->failure.text);
        printf(": %" PRIu64 " byte%s sent, %" PRIu64
               " came back in %.3f s, %s/s there, %s/s back\n",
               report->bytes_sent, quantity_plural(report->bytes_sent), report->bytes_received,
               clock_seconds(report->elapsed),
               quantity_format_bytes(interim_rate(report->bytes_sent, report->send_time), there),
               quantity_format_bytes(interim_rate(report->bytes_received, report->receive_time),
                                     back));
}

/* Prints the quantiles, of which some need more values than there are. */
static void report_print_quantiles(FILE *file, const Histogram *latency) {
        static const unsigned permilles[] = { 500, 900, 990, 999 };
        const char *separator = "p50/p90/p99/p99.9 = ";
        char text[QUANTITY_TEXT_SIZE];

        for (size_t i = 0; i < sizeof permilles / sizeof permilles[0]; i++) {
                fputs(separator, file);
                separator = "/";
                if (histogram_has_quantile(latency, permilles[i]))
                        fputs(quantity_format_duration((double)histogram_quantile(latency,
                                                                                  permilles[i]),
                                                       text),
                              file);
                else
                        putc('-', file);
        }
        putc('\n', file);
}

double report_quantile(const Histogram *latency, unsigned permille) {
        return histogram_has_quantile(latency, permille)
                               ? (double)histogram_quantile(latency, permille) / 1000
                               : NAN;
}

void report_print_times(FILE *file, const Histogram *latency) {
        char least[QUANTITY_TEXT_SIZE], mean[QUANTITY_TEXT_SIZE], most[QUANTITY_TEXT_SIZE],
                        deviation[QUANTITY_TEXT_SIZE];

        if (latency->count == 0)
                return;
        fprintf(file, "min/avg/max/stddev = %s/%s/%s/%s\n",
                quantity_format_duration((double)latency->minimum, least),
                quantity_format_duration(latency->mean, mean),
                quantity_format_duration((double)latency->maximum, most),
                quantity_format_duration(histogram_deviation(latency), deviation));
        report_print_quantiles(file, latency);
}

Interim report_count(const Report *report, uint64_t start, uint64_t errors) {
        return (Interim){ .elapsed = clock_now() - start,
                          .answered = report->latency.count,
                          .bytes_sent = report->bytes_sent,
                          .bytes_received = report->bytes_received,
                          .errors = errors };
}

void report_print_state(const Interim *count, const Histogram *latency,
                        const ClientOptions *options, Progress *progress) {
        progress_clear(progress);
        interim_print(stderr, &(Interim){ 0 }, count, options);
        report_print_times(stderr, latency);
}

static void report_print_latency(const Histogram *latency, const ClientOptions *options) {
        report_print_times(stdout, latency);
        if (!options->quiet && latency->count >= REPORT_CHART_MINIMUM)
                chart_print(latency, stdout, terminal_width(STDOUT_FILENO));
}

void report_add_flow(Report *report, const Flow *flow) {
        const VolleyCounts *counts = &flow->volley.counts;

        volley_add(&report->counts, counts);
        rejections_add(&report->rejections, &flow->rejections);
        report->overflow += flow_overflow(flow);
        report->errors[FAILURE_INTERRUPTED] += counts->open;
        report->errors[FAILURE_DIFFERS] += counts->unrecognized;
        flow_add_errors(flow, report->errors);
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

static double report_mean(uint64_t sum, uint64_t count) {
        return count == 0 ? 0 : (double)sum / (double)count;
}

static void report_print_phases(const Phases *phases) {
        char connect[QUANTITY_TEXT_SIZE], first[QUANTITY_TEXT_SIZE], last[QUANTITY_TEXT_SIZE];

        quantity_format_duration(report_mean(phases->connect, phases->connections), connect);
        quantity_format_duration(report_mean(phases->first, phases->answers), first);
        quantity_format_duration(report_mean(phases->last, phases->answers), last);
        if (phases->connections > 0 && phases->answers > 0)
                printf("connect/first byte/last byte = %s/%s/%s\n", connect, first, last);
        else if (phases->connections > 0)
                printf("connect = %s\n", connect);
}

/* Prints the losses in percent of the datagrams whose time is over. */
static void report_print_loss(const VolleyCounts *counts) {
        const uint64_t lost = volley_lost(counts);
        char percent[QUANTITY_TEXT_SIZE];

        printf(", %" PRIu64 " lost", lost);
        if (lost > 0)
                printf(" (%s %%)", quantity_format_percent(100 * volley_loss(counts), 3, percent));
}

static void report_print_count(uint64_t count, const char *what) {
        if (count > 0)
                printf(", %" PRIu64 " %s", count, what);
}

static void report_print_rejections(const Report *report) {
        const Rejections *rejections = &report->rejections;

        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++)
                if (rejections->counts[i] > 0)
                        printf("%" PRIu64 " rejected: %s\n", rejections->counts[i],
                               rejections->list[i].text);
}

static void report_print_datagrams(const Report *report, const char *target) {
        const VolleyCounts *counts = &report->counts;
        char jitter[QUANTITY_TEXT_SIZE];

        printf("%s: %" PRIu64 " sent, %" PRIu64 " answered", target, counts->sent,
               counts->answered);
        report_print_loss(counts);
        report_print_count(counts->late, "late");
        report_print_count(counts->changed, "changed");
        report_print_count(counts->rejected, "rejected");
        report_print_count(counts->open, "open");
        report_print_count(counts->duplicated, "duplicated");
        report_print_count(counts->reordered, "reordered");
        report_print_count(counts->unrecognized, "unrecognized");
        printf(" in %.3f s\n", clock_seconds(report->elapsed));
        report_print_rejections(report);
        if (report->overflow > 0)
                printf("%" PRIu64 " answer%s lost here: the receive buffer was full\n",
                       report->overflow, quantity_plural(report->overflow));
        if (counts->answered + counts->late > 1)
                printf("jitter = %s\n", quantity_format_duration(counts->jitter, jitter));
}

static void report_print_mtu(const Report *report, const char *target) {
        const ReportMtu *mtu = &report->mtu;

        printf("%s: ", target);
        if (mtu->payload > 0)
                printf("%" PRIu64 " bytes pass both ways, in packets of %" PRIu64 " bytes",
                       mtu->payload, mtu->packet);
        if (mtu->packet == mtu->interface && mtu->payload > 0)
                fputs(", the MTU of the interface", stdout);
        else if (mtu->payload > 0 && mtu->interface > 0)
                printf("; the MTU of the interface is %" PRIu64, mtu->interface);
        if (report->failure.kind != FAILURE_NONE)
                printf("%s%s: %s", mtu->payload > 0 ? "; " : "",
                       failure_kind_name(report->failure.kind), report->failure.text);
        putchar('\n');
        report_print_rejections(report);
}

static void report_print_failure(const Failure *failure) {
        if (failure->kind != FAILURE_NONE)
                printf("%s: %s\n", failure_kind_name(failure->kind), failure->text);
}

static void report_print_trips(const Report *report, const char *target) {
        const uint64_t answered = report->latency.count;

        printf("%s: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " lost", target,
               report->attempts, answered, report->attempts - answered);
        report_print_errors(report);
        printf(" in %.3f s\n", clock_seconds(report->elapsed));
}

static void report_print_ping(const Report *report, const ClientOptions *options,
                              const char *target) {
        char verdict[FLOWS_VERDICT_SIZE];

        if (report->flows_count > 0)
                report_flows_print(report, options);
        if (client_options_want_lines(options))
                putchar('\n');
        if (options->connection.datagram)
                report_print_datagrams(report, target);
        else
                report_print_trips(report, target);
        /* The verdict on flows comes last. */
        if (report->failure.kind != FAILURE_LOSS)
                report_print_failure(&report->failure);
        else if (report->foreign[0] != '\0')
                puts(report->foreign);
        if (options->connect)
                report_print_phases(&report->phases);
        report_print_latency(&report->latency, options);
        if (report->flows_count > 0) {
                report_flows_verdict(report, verdict);
                puts(verdict);
        }
}

static void report_print_load_head(const Report *report, const ClientOptions *options,
                                   const char *target) {
        const bool datagrams = options->connection.datagram;
        const char *plural = datagrams ? quantity_plural(options->connections) : "";
        const Interim *window = &report->window;

        printf("%s: load of %s, %" PRIu64 " %s%s, from %" PRIu64 " process%s, for %.3f s, "
               "drained in %.3f s\n",
               target, datagrams ? "datagrams" : client_load_name(options->load),
               options->connections, datagrams ? "port" : "at once", plural, report->processes,
               report->processes == 1 ? "" : "es", clock_seconds(window->elapsed),
               clock_seconds(report->elapsed - window->elapsed));
}

static void report_print_load(const Report *report, const ClientOptions *options,
                              const char *target) {
        char there[QUANTITY_TEXT_SIZE], back[QUANTITY_TEXT_SIZE];
        const Interim *window = &report->window;
        uint64_t errors = 0;

        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                errors += report->errors[kind];
        report_print_load_head(report, options, target);
        if (options->load != LOAD_STREAMS)
                printf("%" PRIu64 " answered, %.1f/s, %" PRIu64 " byte%s each\n", report->answered,
                       interim_rate(window->answered, window->elapsed), options->size,
                       quantity_plural(options->size));
        printf("%" PRIu64 " byte%s sent, %" PRIu64 " came back, %s/s there, %s/s back\n",
               report->bytes_sent, quantity_plural(report->bytes_sent), report->bytes_received,
               quantity_format_bytes(interim_rate(window->bytes_sent, window->elapsed), there),
               quantity_format_bytes(interim_rate(window->bytes_received, window->elapsed), back));
        printf("%" PRIu64 " error%s", errors, quantity_plural(errors));
        report_print_errors(report);
        if (report->reconnects > 0)
                printf(", %" PRIu64 " reconnect%s", report->reconnects,
                       quantity_plural(report->reconnects));
        if (report->overdue > 0)
                printf(", %" PRIu64 " overdue%s", report->overdue,
                       errors > 0 ? "" : ": the rate is too high");
        putchar('\n');
        report_print_failure(&report->failure);
        if (options->connection.datagram)
                report_print_datagrams(report, target);
        else
                report_print_phases(&report->phases);
        report_print_latency(&report->latency, options);
}

int report_status(const Report *report, const ClientOptions *options) {
        if (options->monitor)
                return (int)monitor_state(report, options);
        return report->failure.kind == FAILURE_NONE ? 0 : 1;
}

static void report_print_kernel(const Kernel *kernel) {
        char rtt[QUANTITY_TEXT_SIZE], variance[QUANTITY_TEXT_SIZE];

        if (kernel->known)
                fprintf(stderr,
                        "mpecho-client: kernel: round-trip time %s (variance %s), %" PRIu64
                        " retransmit%s, MSS %" PRIu64 ", congestion window %" PRIu64 "\n",
                        quantity_format_duration((double)kernel->rtt, rtt),
                        quantity_format_duration((double)kernel->rtt_variance, variance),
                        kernel->retransmits, quantity_plural(kernel->retransmits), kernel->mss,
                        kernel->congestion_window);
}

static void report_print_text(const Report *report, const ClientOptions *options) {
        char target[TARGET_TEXT_SIZE];

        target_format(&options->target, target);
        if ((report->path.peer[0] == '\0' && report->attempts == 0) ||
            options->action == CLIENT_RELAY) {
                if (report->failure.kind != FAILURE_NONE)
                        fprintf(stderr, "mpecho-client: %s\n", report->failure.text);
        } else if (options->action == CLIENT_CHECK) {
                if (options->connection.datagram)
                        report_print_datagrams(report, target);
                report_print_check(report, target);
        } else if (options->action == CLIENT_MTU) {
                report_print_mtu(report, target);
        } else if (options->action == CLIENT_LOAD) {
                report_print_load(report, options, target);
        } else {
                report_print_ping(report, options, target);
        }
        if (options->connection.verbose)
                report_print_kernel(&report->kernel);
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
