/* SPDX-License-Identifier: MIT */
/*
 * Makes round trips from many local ports on one schedule, to find the paths that lose packets.
 *
 * All flows have the same interval and begin evenly spaced in it, so that a moment of loss hits all
 * of them alike. A flow whose round trip lasts longer leaves out what is due meanwhile. The local
 * ports are a block of neighbours: its first port repeats the same flows in another run. All flows
 * go to the first address of a name. A connection to find out which address answers would be a flow
 * of its own, maybe on the bad path.
 *
 * Each begun round trip must be counted, as ping.c does. A flow that fails never ends the run: the
 * other paths may be well.
 */
#include "client/run/flows.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/output/progress.h"
#include "client/output/report_flows.h"
#include "client/run/lane.h"
#include "client/value/pattern.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        /* Above the ports that Linux chooses by itself, where blocks of free ports are rare. */
        FLOWS_PORTS = 61000,
        FLOWS_PORTS_TRIED = 100,
};

/* Without an interval, first connections begin at this distance: all at once, they would fill the
 * queue of the service's socket. */
#define FLOWS_FIRST_GAP         CLOCK_MILLISECOND
#define FLOWS_PROGRESS_INTERVAL (200 * CLOCK_MILLISECOND)

typedef struct Flows {
        const ClientOptions *options;
        Report *report;
        LaneSettings settings;
        Pattern pattern;
        uint64_t count;
        Lane *list;
        /* The instants of the next round trips. */
        uint64_t *due;
        /* The interrupt, and a descriptor of each flow. */
        struct pollfd *polled;
        char *buffers;
        uint64_t start;
        uint64_t end;
        bool interrupted;
        uint64_t next_progress;
        Progress progress;
} Flows;

static void flows_describe(const Flows *flows, const Lane *lane, int error) {
        Report *report = flows->report;
        FailureKind kind = failure_kind_from_errno(error);

        report->errors[kind]++;
        if (error == EBADMSG)
                (void)foreign_describe(lane->trip.answer, lane->trip.message, lane->trip.received,
                                       report->foreign);
        if (kind == FAILURE_LOCAL && report->failure.kind == FAILURE_NONE)
                failure_set(&report->failure, -error, "Cannot connect from source port %hu: %s",
                            lane->result->port, strerror(error));
}

/* Sets when the flow is due again: at its next turn, or at once without an interval. */
static void flows_settle(Flows *flows, size_t i, int r, uint64_t time) {
        const uint64_t interval = flows->options->interval, now = clock_now();
        Report *report = flows->report;

        if (r < 0) {
                flows_describe(flows, &flows->list[i], -r);
        } else {
                report->bytes_sent += flows->options->size;
                report->bytes_received += flows->options->size;
                histogram_record(&report->latency, time);
        }
        if (interval == 0)
                flows->due[i] = now;
        else
                flows->due[i] += ((now - flows->due[i]) / interval + 1) * interval;
}

static void flows_begin(Flows *flows, size_t i) {
        Lane *lane = &flows->list[i];
        const uint64_t size = flows->options->size;
        uint64_t part = lane->result->sent * flows->count + i;
        int r;

        pattern_fill(&flows->pattern, part * size, (char *)lane->trip.message, size);
        flows->report->attempts++;
        r = lane_begin(lane, &flows->settings);
        if (r < 0)
                flows_settle(flows, i, r, 0);
}

static void flows_advance(Flows *flows, size_t i) {
        uint64_t time = 0;
        int r = lane_advance(&flows->list[i], &flows->settings, &time);

        if (r != -EAGAIN)
                flows_settle(flows, i, r, time);
}

/* Begins and advances what can be. Sets @ret_wake to the next instant at which something is due.
 * Returns whether there is more to do. */
static bool flows_work(Flows *flows, uint64_t *ret_wake) {
        const uint64_t count = flows->options->count;
        bool more = false;

        *ret_wake = flows->end;
        for (size_t i = 0; i < flows->count; i++) {
                Lane *lane = &flows->list[i];
                struct pollfd *polled = &flows->polled[i + 1];

                if (lane->busy && (polled->revents != 0 || clock_now() >= lane->end))
                        flows_advance(flows, i);
                if (!lane->busy && (count == 0 || lane->result->sent < count)) {
                        more = true;
                        if (clock_now() >= flows->due[i])
                                flows_begin(flows, i);
                        else
                                *ret_wake = clock_earlier(*ret_wake, flows->due[i]);
                }
                *polled = (struct pollfd){ .fd = lane->busy ? lane->trip.fd : -1,
                                           .events = lane_events(lane) };
                if (lane->busy)
                        *ret_wake = clock_earlier(*ret_wake, lane->end);
                more |= lane->busy;
        }
        return more;
}

static void flows_show_progress(Flows *flows) {
        const uint64_t now = clock_now(), all = flows->options->count * flows->count;
        const double elapsed = (double)(now - flows->start) / (double)CLOCK_SECOND;
        const uint64_t attempts = flows->report->attempts;

        if (now < flows->next_progress)
                return;
        flows->next_progress = now + FLOWS_PROGRESS_INTERVAL;
        if (all > 0)
                progress_show(&flows->progress, "%.1f s  %" PRIu64 " of %" PRIu64, elapsed,
                              attempts, all);
        else
                progress_show(&flows->progress, "%.1f s  %" PRIu64, elapsed, attempts);
}

/* Answers an inquiry. */
static void flows_answer(void *userdata) {
        const Interim none = {};
        Flows *flows = userdata;
        const Report *report = flows->report;
        Interim count = { .elapsed = clock_now() - flows->start,
                          .answered = report->latency.count,
                          .bytes_sent = report->bytes_sent,
                          .bytes_received = report->bytes_received };

        for (size_t i = 0; i < flows->count; i++)
                count.errors += flows->list[i].result->failed;
        progress_clear(&flows->progress);
        interim_print(stderr, &none, &count, flows->options);
        report_print_times(stderr, &report->latency);
}

static void flows_loop(Flows *flows) {
        uint64_t wake;

        flows->polled[0] = (struct pollfd){ .fd = flows->settings.connection.interrupt,
                                            .events = POLLIN };
        while (clock_now() < flows->end && flows_work(flows, &wake)) {
                flows_show_progress(flows);
                if (inquiry_poll(flows->polled, flows->count + 1, wake) < 0 ||
                    flows->polled[0].revents != 0)
                        break;
        }
        flows->interrupted = interrupt_is_due(flows->settings.connection.interrupt);
}

/* Closes all flows. What is under way counts as lost, although its answer might have come. */
static void flows_close(Flows *flows) {
        for (size_t i = 0; i < flows->count; i++) {
                Lane *lane = &flows->list[i];

                flows->report->errors[FAILURE_INTERRUPTED] += lane->busy;
                lane_close(lane);
                kernel_add(&flows->report->kernel, &lane->result->kernel);
        }
        flows->report->phases = flows->settings.phases;
}

static void flows_judge(const Flows *flows) {
        FlowCount counts[JUDGEMENT_FLOWS_MAXIMUM];
        bool named[JUDGEMENT_FLOWS_MAXIMUM];
        Report *report = flows->report;

        for (size_t i = 0; i < flows->count; i++)
                counts[i] = flow_result_count(&report->flows[i]);
        judgement_make(counts, flows->count, named, &report->judgement);
        for (size_t i = 0; i < flows->count; i++)
                report->flows[i].named = named[i];
}

/* Fails the run for a flow that loses more than the others, and where a ping would fail. */
static void flows_conclude(const Flows *flows) {
        Report *report = flows->report;
        const uint64_t answered = report->latency.count;
        const uint64_t wanted = flows->options->count * flows->count;
        FailureKind worst = report_worst(report);
        char verdict[FLOWS_VERDICT_SIZE];

        if (report->judgement.named > 0) {
                report_flows_verdict(report, verdict);
                failure_set_kind(&report->failure, FAILURE_LOSS, 0, "%s", verdict);
        } else if (worst == FAILURE_DIFFERS && report->foreign[0] != '\0') {
                failure_set_kind(&report->failure, worst, 0, "%s", report->foreign);
        } else if (worst != FAILURE_NONE && report->failure.kind == FAILURE_NONE) {
                failure_set_kind(&report->failure, worst, 0,
                                 "%" PRIu64 " of %" PRIu64 " round trip%s failed",
                                 report->attempts - answered, report->attempts,
                                 quantity_plural(report->attempts));
        } else if (answered == 0 || answered < wanted) {
                failure_set_kind(&report->failure,
                                 flows->interrupted ? FAILURE_INTERRUPTED : FAILURE_TIMEOUT, 0,
                                 "the run ended with %" PRIu64 " of %" PRIu64
                                 " round trips answered",
                                 answered, wanted > 0 ? wanted : report->attempts);
        }
}

/* Returns 0 if the port can be bound, or a negative errno. */
static int flows_try_port(const LaneSettings *settings, in_port_t port) {
        ConnectionOptions options = settings->connection;
        const int family = settings->endpoint.any.sa_family;
        int fd, r;

        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        options.port = port;
        r = connection_bind(fd, family, &options);
        close(fd);
        return r;
}

/* Tries all ports from @first on; sets @ret_wrong to the first one that cannot be bound. */
static int flows_try_ports(const Flows *flows, uint64_t first, uint64_t *ret_wrong) {
        int r = 0;

        for (*ret_wrong = first; *ret_wrong < first + flows->count; ++*ret_wrong) {
                r = flows_try_port(&flows->settings, (in_port_t)*ret_wrong);
                if (r < 0)
                        break;
        }
        return r;
}

static int flows_choose_ports(const Flows *flows, uint64_t *ret_first, Failure *failure) {
        const uint64_t given = flows->options->source_port;
        uint64_t wrong = 0;
        uint32_t number;
        int r = -EADDRINUSE;

        *ret_first = given;
        if (given != 0)
                r = flows_try_ports(flows, given, &wrong);
        for (int i = 0; given == 0 && r == -EADDRINUSE && i < FLOWS_PORTS_TRIED; i++) {
                if (getrandom(&number, sizeof number, 0) < 0)
                        return failure_set(failure, -errno, "Cannot get random numbers: %s",
                                           strerror(errno));
                *ret_first = FLOWS_PORTS + number % (UINT16_MAX - FLOWS_PORTS - flows->count);
                r = flows_try_ports(flows, *ret_first, &wrong);
        }
        if (r < 0)
                return failure_set(failure, r, "Cannot use source port %" PRIu64 ": %s", wrong,
                                   strerror(-r));
        return 0;
}

static void flows_measure(Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        const uint64_t gap =
                        options->interval == 0 ? FLOWS_FIRST_GAP : options->interval / flows->count;
        Report *report = flows->report;

        progress_init(&flows->progress, client_options_want_progress(options));
        pattern_init(&flows->pattern);
        flows->start = clock_now();
        flows->end = options->duration == 0 ? CLOCK_NEVER : flows->start + options->duration;
        for (size_t i = 0; i < flows->count; i++) {
                char *message = flows->buffers + 2 * i * options->size;

                report->flows[i].port = (in_port_t)(first + i);
                flows->due[i] = flows->start + i * gap;
                flows->list[i] = (Lane){ .result = &report->flows[i],
                                         .trip = { .fd = -1,
                                                   .message = message,
                                                   .answer = message + options->size,
                                                   .size = options->size } };
        }
        inquiry_set(flows_answer, flows);
        flows_loop(flows);
        inquiry_set(NULL, NULL);
        report->elapsed = clock_now() - flows->start;
        progress_clear(&flows->progress);
        flows_close(flows);
        flows_judge(flows);
        flows_conclude(flows);
}

/* Prints the header; the first port allows to repeat the same flows. */
static void flows_print(const Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        char target[TARGET_TEXT_SIZE];

        if (!client_options_want_lines(options))
                return;
        target_format(&options->target, target);
        printf("mpecho-client: %" PRIu64 " bytes to %s, %" PRIu64 " flows, --source-port=%" PRIu64
               "\n",
               options->size, target, flows->count, first);
        fflush(stdout);
}

void flows_run(const ClientOptions *options, Report *report) {
        const size_t count = options->flows;
        Flows flows = { .options = options,
                        .report = report,
                        .count = count,
                        .settings = { .connection = options->connection,
                                      .timeout = options->timeout },
                        .list = calloc(count, sizeof *flows.list),
                        .due = calloc(count, sizeof *flows.due),
                        .polled = calloc(count + 1, sizeof *flows.polled),
                        .buffers = calloc(2 * count, options->size) };
        uint64_t first;

        report->flows = calloc(count, sizeof *report->flows);
        if (flows.list == NULL || flows.due == NULL || flows.polled == NULL ||
            flows.buffers == NULL || report->flows == NULL) {
                failure_set(&report->failure, 0, "Cannot allocate memory for %zu flows", count);
        } else if (path_resolve(&options->target, &options->connection, &report->path,
                                &report->failure) == 0) {
                flows.settings.endpoint = report->path.endpoint;
                if (flows_choose_ports(&flows, &first, &report->failure) == 0) {
                        report->flows_count = count;
                        flows_print(&flows, first);
                        flows_measure(&flows, first);
                } else {
                        /* No connection came about. */
                        report->path = (Path){};
                }
        }
        free(flows.list);
        free(flows.due);
        free(flows.polled);
        free(flows.buffers);
}
