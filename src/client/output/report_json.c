/* SPDX-License-Identifier: MIT */
/*
 * Prints the results of a run as one JSON object, in the form of mpecho-client.schema.json.
 *
 * The object begins with the run itself: version, time and command line. The result of the mode,
 * the times and the kernel's figures follow. Times are microseconds, except durations of runs,
 * which are seconds; rates are per second.
 *
 * Each member of a mode must always be present in that mode, null without a value, so that programs
 * need no test for it. A change of a member is a change of the schema.
 */
#include "client/output/report_json.h"

#include <math.h>

#include "client/output/json.h"
#include "client/output/report_flows.h"
#include "client/value/schedule.h"
#include "lib/clock.h"

static double report_microseconds(double nanoseconds) {
        return nanoseconds / 1000;
}

static void report_json_failure(Json *json, const Failure *failure) {
        if (failure->kind == FAILURE_NONE) {
                json_null(json, "failure");
                return;
        }
        json_open(json, "failure");
        json_string(json, "kind", failure_kind_name(failure->kind));
        json_string(json, "message", failure->text);
        json_close(json);
}

static void report_json_warnings(Json *json, const Path *path) {
        json_open_list(json, "warnings");
        for (size_t i = 0; i < path->failed_count; i++)
                json_string(json, NULL, path->failed[i]);
        json_close_list(json);
}

static void report_json_fault(Json *json, const Report *report) {
        json_integer(json, "faults", report->faults);
        if (report->faults == 0) {
                json_null(json, "fault");
                return;
        }
        json_open(json, "fault");
        json_string(json, "kind", fault_kind_name(report->fault.kind));
        json_integer(json, "offset", report->fault.offset);
        json_integer(json, "bytes", report->fault.size);
        json_integer(json, "bits", report->fault.bits);
        json_close(json);
}

static void report_json_check(Json *json, const Report *report, const ClientOptions *options) {
        json_open(json, "check");
        json_integer(json, "size", options->check_size);
        json_number(json, "send_rate", interim_rate(report->bytes_sent, report->send_time));
        json_number(json, "receive_rate",
                    interim_rate(report->bytes_received, report->receive_time));
        report_json_fault(json, report);
        json_close(json);
}

static void report_json_rejections(Json *json, const Rejections *rejections) {
        json_open_list(json, "rejections");
        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++) {
                const Rejection *rejection = &rejections->list[i];

                if (rejections->counts[i] == 0)
                        continue;
                json_open(json, NULL);
                json_integer(json, "count", rejections->counts[i]);
                json_string(json, "message", rejection->text);
                json_string(json, "reason", rejection->reason);
                json_string(json, "sender",
                            rejection->sender[0] == '\0' ? NULL : rejection->sender);
                json_close(json);
        }
        json_close_list(json);
}

/* Writes the member @name, null for 0. */
static void report_json_known(Json *json, const char *name, uint64_t number) {
        if (number == 0)
                json_null(json, name);
        else
                json_integer(json, name, number);
}

static void report_json_mtu(Json *json, const Report *report) {
        const ReportMtu *mtu = &report->mtu;

        json_open(json, "mtu");
        report_json_known(json, "payload", mtu->payload);
        report_json_known(json, "packet", mtu->packet);
        report_json_known(json, "interface", mtu->interface);
        json_integer(json, "probes", report->attempts);
        report_json_rejections(json, &report->rejections);
        json_close(json);
}

static void report_json_errors(Json *json, const Report *report) {
        json_open(json, "errors");
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                if (report->errors[kind] > 0)
                        json_integer(json, failure_kind_name((FailureKind)kind),
                                     report->errors[kind]);
        json_close(json);
}

static void report_json_ping(Json *json, const Report *report, const ClientOptions *options) {
        const uint64_t failed = report->attempts - report->latency.count;

        json_open(json, "ping");
        json_integer(json, "size", options->size);
        json_integer(json, "sent", report->attempts);
        json_integer(json, "answered", report->latency.count);
        json_integer(json, "lost",
                     options->connection.datagram ? volley_lost(&report->counts) : failed);
        report_json_errors(json, report);
        report_flows_json(json, report);
        json_close(json);
}

static void report_json_load(Json *json, const Report *report, const ClientOptions *options) {
        const Interim *window = &report->window;

        json_open(json, "load");
        json_string(json, "kind", client_load_name(options->load));
        json_integer(json, "connections", options->connections);
        json_integer(json, "processes", report->processes);
        json_integer(json, "size", options->size);
        json_number(json, "wanted_rate",
                    options->rate > 0 ? (double)options->rate / SCHEDULE_UNIT : NAN);
        json_number(json, "duration", clock_seconds(window->elapsed));
        json_number(json, "drain", clock_seconds(report->elapsed - window->elapsed));
        json_integer(json, "answered", report->answered);
        json_number(json, "rate", interim_rate(window->answered, window->elapsed));
        json_number(json, "send_rate", interim_rate(window->bytes_sent, window->elapsed));
        json_number(json, "receive_rate", interim_rate(window->bytes_received, window->elapsed));
        json_integer(json, "overdue", report->overdue);
        json_integer(json, "reconnects", report->reconnects);
        report_json_errors(json, report);
        json_close(json);
}

static void report_json_latency(Json *json, const Histogram *latency) {
        if (latency->count == 0) {
                json_null(json, "latency");
                return;
        }
        json_open(json, "latency");
        json_integer(json, "count", latency->count);
        json_number(json, "min", report_microseconds((double)latency->minimum));
        json_number(json, "mean", report_microseconds(latency->mean));
        json_number(json, "max", report_microseconds((double)latency->maximum));
        json_number(json, "stddev", report_microseconds(histogram_deviation(latency)));
        json_number(json, "p50", report_quantile(latency, 500));
        json_number(json, "p90", report_quantile(latency, 900));
        json_number(json, "p99", report_quantile(latency, 990));
        json_number(json, "p99_9", report_quantile(latency, 999));
        json_close(json);
}

static void report_json_target(Json *json, const Report *report, const Target *target) {
        json_string(json, "host", target->host);
        report_json_known(json, "port", target->port);
        json_string(json, "peer", report->path.peer[0] == '\0' ? NULL : report->path.peer);
        json_string(json, "local", report->path.local[0] == '\0' ? NULL : report->path.local);
        report_json_warnings(json, &report->path);
}

static void report_json_mean(Json *json, const char *name, uint64_t sum, uint64_t count) {
        json_number(json, name, count > 0 ? report_microseconds((double)sum / (double)count) : NAN);
}

/* A mode that does not count its connections has exactly one. */
static void report_json_phases(Json *json, const Report *report) {
        const Phases *phases = &report->phases;
        const uint64_t known = report->path.peer[0] == '\0' ? 0 : 1;

        json_open(json, "phases");
        report_json_mean(json, "resolve", report->path.resolve, known);
        if (phases->connections > 0)
                report_json_mean(json, "connect", phases->connect, phases->connections);
        else
                report_json_mean(json, "connect", report->path.connect, known);
        report_json_mean(json, "first_byte", phases->first, phases->answers);
        report_json_mean(json, "last_byte", phases->last, phases->answers);
        json_close(json);
}

static void report_json_kernel(Json *json, const Kernel *kernel) {
        if (!kernel->known) {
                json_null(json, "kernel");
                return;
        }
        json_open(json, "kernel");
        json_number(json, "rtt", report_microseconds((double)kernel->rtt));
        json_number(json, "rtt_variance", report_microseconds((double)kernel->rtt_variance));
        json_integer(json, "retransmits", kernel->retransmits);
        json_integer(json, "mss", kernel->mss);
        json_integer(json, "congestion_window", kernel->congestion_window);
        json_close(json);
}

static void report_json_datagrams(Json *json, const Report *report, const ClientOptions *options) {
        const VolleyCounts *counts = &report->counts;

        json_open(json, "datagrams");
        json_integer(json, "size", options->size);
        json_integer(json, "sent", counts->sent);
        json_integer(json, "answered", counts->answered);
        json_integer(json, "lost", volley_lost(counts));
        json_small(json, "loss", volley_loss(counts));
        json_integer(json, "late", counts->late);
        json_integer(json, "changed", counts->changed);
        json_integer(json, "rejected", counts->rejected);
        json_integer(json, "open", counts->open);
        json_integer(json, "duplicated", counts->duplicated);
        json_integer(json, "reordered", counts->reordered);
        json_integer(json, "unrecognized", counts->unrecognized);
        json_integer(json, "overflow", report->overflow);
        json_number(json, "jitter",
                    counts->answered + counts->late > 1 ? report_microseconds(counts->jitter)
                                                        : NAN);
        report_json_rejections(json, &report->rejections);
        json_close(json);
}

/* When and how the program was started, so that an archived object can be understood. */
static void report_json_run(Json *json, const Report *report, const ClientOptions *options) {
        char text[sizeof "-2147481748-01-01T00:00:00Z"];
        struct tm utc;

        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&report->time, &utc));
        json_string(json, "time", text);
        json_open_list(json, "arguments");
        for (char *const *word = options->arguments; *word != NULL; word++)
                json_string(json, NULL, *word);
        json_close_list(json);
}

void report_print_json(const Report *report, const ClientOptions *options, FILE *file) {
        Json json = { .file = file };

        json_open(&json, NULL);
        json_string(&json, "version", MPECHO_VERSION);
        json_string(&json, "mode", client_action_name(options->action));
        report_json_run(&json, report, options);
        report_json_target(&json, report, &options->target);
        report_json_phases(&json, report);
        report_json_kernel(&json, &report->kernel);
        json_integer(&json, "status", (uint64_t)report_status(report, options));
        report_json_failure(&json, &report->failure);
        json_number(&json, "seconds", clock_seconds(report->elapsed));
        json_integer(&json, "bytes_sent", report->bytes_sent);
        json_integer(&json, "bytes_received", report->bytes_received);
        if (options->action == CLIENT_CHECK)
                report_json_check(&json, report, options);
        if (options->action == CLIENT_PING)
                report_json_ping(&json, report, options);
        if (options->action == CLIENT_LOAD)
                report_json_load(&json, report, options);
        if (options->action == CLIENT_MTU)
                report_json_mtu(&json, report);
        if (options->connection.datagram && options->action != CLIENT_MTU)
                report_json_datagrams(&json, report, options);
        else
                json_null(&json, "datagrams");
        report_json_latency(&json, &report->latency);
        json_close(&json);
        putc('\n', file);
}
