/* SPDX-License-Identifier: MIT */
/*
 * Makes round trips from many local ports on one schedule, to find the paths that lose packets.
 *
 * All flows have the same interval and begin evenly spaced in it, so that a moment of loss hits all
 * of them alike. A flow whose round trip lasts longer leaves out what is due meanwhile. All flows
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
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/content/pattern.h"
#include "client/network/flow.h"
#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/network/ports.h"
#include "client/output/progress.h"
#include "client/output/verdict.h"
#include "client/run/lane.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        /* Each flow remembers this many datagrams: 16 s of the fastest ping. */
        FLOWS_REMEMBERED = 1 << 14,
};

/* Without an interval, first connections begin at this distance: all at once, they would fill the
 * queue of the service's socket. */
#define FLOWS_FIRST_GAP CLOCK_MILLISECOND
/* --flood sends this long after the last datagram, even without an answer to it. */
#define FLOWS_FLOOD             (10 * CLOCK_MILLISECOND)
#define FLOWS_PROGRESS_INTERVAL (200 * CLOCK_MILLISECOND)

typedef struct Flows {
        const ClientOptions *options;
        Report *report;
        LaneSettings settings;
        Pattern pattern;
        uint64_t count;
        /* One of both: connections, or datagrams and their contents. */
        Lane *list;
        Flow *datagrams;
        Payload *payload;
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

/* Begins or advances the round trip of a connection. Returns whether there is more to do. */
static bool flows_work_lane(Flows *flows, size_t i, uint64_t *wake) {
        const uint64_t count = flows->options->count;
        struct pollfd *polled = &flows->polled[i + 1];
        Lane *lane = &flows->list[i];
        bool more;

        if (lane->busy && (polled->revents != 0 || clock_now() >= lane->end))
                flows_advance(flows, i);
        more = !lane->busy && (count == 0 || lane->result->sent < count);
        if (more && clock_now() >= flows->due[i])
                flows_begin(flows, i);
        *polled = (struct pollfd){ .fd = lane->busy ? lane->trip.fd : -1,
                                   .events = lane_events(lane) };
        if (lane->busy)
                *wake = clock_earlier(*wake, lane->end);
        else if (more)
                *wake = clock_earlier(*wake, flows->due[i]);
        return more || lane->busy;
}

static void flows_take(Flows *flows, size_t i, const FlowEvent *event) {
        const Flow *flow = &flows->datagrams[i];
        Report *report = flows->report;

        if (event->kind != FLOW_ANSWER)
                return;
        report->bytes_received += flow->answer_size;
        if (event->answer.verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(flow, report->foreign);
        if (event->answer.verdict != VOLLEY_ANSWERED)
                return;
        histogram_record(&report->latency, event->answer.time);
        histogram_record(&report->flows[i].latency, event->answer.time);
        if (flows->options->flood)
                flows->due[i] = 0;
}

/* Sends a datagram. While the kernel takes none, the turn passes. */
static void flows_send(Flows *flows, size_t i, uint64_t now) {
        const uint64_t interval = flows->options->interval;
        FlowEvent event;

        if (interval == 0)
                flows->due[i] = now + FLOWS_FLOOD;
        else
                flows->due[i] += ((now - flows->due[i]) / interval + 1) * interval;
        if (flow_send(&flows->datagrams[i], now, &event) < 0)
                return;
        flows->report->attempts++;
        if (event.kind == FLOW_REJECTED)
                flows_take(flows, i, &event);
        else
                flows->report->bytes_sent += flows->options->size;
}

/* Sends a datagram if one is due, and takes what came back. No lost answer holds back the next
 * datagram. Returns whether there is more to do. */
static bool flows_work_datagrams(Flows *flows, size_t i, uint64_t *wake) {
        const uint64_t count = flows->options->count, now = clock_now();
        Flow *flow = &flows->datagrams[i];
        FlowEvent event;
        bool more;

        if ((count == 0 || flow->volley.counts.sent < count) && now >= flows->due[i])
                flows_send(flows, i, now);
        for (int j = 0; j < FLOW_BATCH && flow_next(flow, &event); j++)
                flows_take(flows, i, &event);
        more = count == 0 || flow->volley.counts.sent < count;
        flows->polled[i + 1] = (struct pollfd){ .fd = flow->fd, .events = POLLIN };
        *wake = clock_earlier(*wake, volley_deadline(&flow->volley));
        if (more)
                *wake = clock_earlier(*wake, flows->due[i]);
        return more || flow->volley.counts.open > 0;
}

/* Begins and advances what can be. Sets @ret_wake to the next instant at which something is due.
 * Returns whether there is more to do. */
static bool flows_work(Flows *flows, uint64_t *ret_wake) {
        bool more = false;

        *ret_wake = flows->end;
        for (size_t i = 0; i < flows->count; i++)
                more |= flows->payload == NULL ? flows_work_lane(flows, i, ret_wake)
                                               : flows_work_datagrams(flows, i, ret_wake);
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
        Flows *flows = userdata;
        const Report *report = flows->report;
        Interim count = { .elapsed = clock_now() - flows->start,
                          .answered = report->latency.count,
                          .bytes_sent = report->bytes_sent,
                          .bytes_received = report->bytes_received };

        for (size_t i = 0; i < flows->count; i++)
                count.errors += flows->payload == NULL
                                                ? flows->list[i].result->failed
                                                : volley_failed(&flows->datagrams[i].volley.counts);
        progress_clear(&flows->progress);
        interim_print(stderr, &(Interim){ 0 }, &count, flows->options);
        report_print_times(stderr, &report->latency);
}

/* Takes what came before the end of the run, but is not read yet: this process may have had no
 * processor. */
static void flows_look(Flows *flows, size_t i) {
        Lane *lane = &flows->list[i];
        FlowEvent event;
        int size = 0;

        while (flows->payload != NULL && flow_next(&flows->datagrams[i], &event))
                flows_take(flows, i, &event);
        if (!lane->busy || lane->connecting)
                return;
        (void)ioctl(lane->trip.fd, FIONREAD, &size);
        if (lane->trip.received + (size_t)size >= lane->trip.size &&
            !kernel_came_late(lane->trip.fd, clock_now(), flows->end))
                flows_advance(flows, i);
}

static void flows_loop(Flows *flows) {
        uint64_t wake;
        bool over;

        flows->polled[0] = (struct pollfd){ .fd = flows->settings.connection.interrupt,
                                            .events = POLLIN };
        while (clock_now() < flows->end && flows_work(flows, &wake)) {
                flows_show_progress(flows);
                if (inquiry_poll(flows->polled, flows->count + 1, wake) < 0 ||
                    flows->polled[0].revents != 0)
                        break;
        }
        flows->interrupted = interrupt_is_due(flows->settings.connection.interrupt);
        over = !flows->interrupted && clock_now() >= flows->end;
        for (size_t i = 0; i < flows->count && over; i++)
                flows_look(flows, i);
}

/* Closes a connection. What is under way counts as lost. */
static void flows_close_lane(Flows *flows, size_t i) {
        Lane *lane = &flows->list[i];

        flows->report->errors[FAILURE_INTERRUPTED] += lane->busy;
        lane_close(lane);
        lane->result->lost = lane->result->sent - lane->result->latency.count;
        lane->result->packets = lane_count(lane->result);
        kernel_add(&flows->report->kernel, &lane->result->kernel);
}

/* Copies the counts of datagrams to the report. */
static void flows_close_datagrams(Flows *flows, size_t i) {
        FlowResult *result = &flows->report->flows[i];
        Flow *flow = &flows->datagrams[i];
        const VolleyCounts *counts = &flow->volley.counts;

        result->sent = counts->sent;
        result->late = counts->late;
        result->lost = volley_lost(counts);
        result->failed = result->lost + counts->rejected;
        result->packets =
                        (FlowCount){ .sent = counts->sent - counts->open, .lost = result->failed };
        report_add_flow(flows->report, flow);
        close(flow->fd);
        flow_deinit(flow);
}

static void flows_close(Flows *flows) {
        for (size_t i = 0; i < flows->count; i++)
                if (flows->payload == NULL)
                        flows_close_lane(flows, i);
                else
                        flows_close_datagrams(flows, i);
        flows->report->phases = flows->settings.phases;
}

static void flows_judge(const Flows *flows) {
        FlowCount counts[JUDGEMENT_FLOWS_MAXIMUM];
        bool named[JUDGEMENT_FLOWS_MAXIMUM];
        Report *report = flows->report;

        for (size_t i = 0; i < flows->count; i++)
                counts[i] = report->flows[i].packets;
        judgement_make(counts, flows->count, named, &report->judgement);
        for (size_t i = 0; i < flows->count; i++)
                report->flows[i].named = named[i];
}

static void flows_prepare_lane(Flows *flows, size_t i) {
        const size_t size = flows->options->size;
        char *message = flows->buffers + 2 * i * size;

        flows->list[i] = (Lane){
                .result = &flows->report->flows[i],
                .trip = { .fd = -1, .message = message, .answer = message + size, .size = size }
        };
}

static int flows_open_datagrams(Flows *flows, size_t i) {
        ConnectionOptions connection = flows->settings.connection;
        bool pending;
        int fd, r;

        connection.port = flows->report->flows[i].port;
        fd = connection_begin(&flows->settings.endpoint, &connection, &pending);
        if (fd < 0)
                return fd;
        r = flow_init(&flows->datagrams[i], fd, flows->payload, i, FLOWS_REMEMBERED,
                      flows->options->timeout, !flows->options->dont_fragment);
        if (r < 0)
                close(fd);
        else
                flows->datagrams[i].end = flows->end;
        return r;
}

/* Prepares all flows, from the port @first on. Returns whether it could. */
static bool flows_prepare(Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        const uint64_t gap =
                        options->interval == 0 ? FLOWS_FIRST_GAP : options->interval / flows->count;
        Report *report = flows->report;
        int r = 0;

        flows->start = clock_now();
        flows->end = options->duration == 0 ? CLOCK_NEVER : flows->start + options->duration;
        for (size_t i = 0; i < flows->count && r == 0; i++) {
                report->flows[i].port = (in_port_t)(first + i);
                flows->due[i] = flows->start + i * gap;
                if (flows->payload == NULL)
                        flows_prepare_lane(flows, i);
                else
                        r = flows_open_datagrams(flows, i);
                if (r < 0)
                        failure_set(&report->failure, r, "Cannot use source port %hu: %s",
                                    report->flows[i].port, strerror(-r));
        }
        return r == 0;
}

static void flows_measure(Flows *flows) {
        Report *report = flows->report;

        progress_init(&flows->progress, client_options_want_progress(flows->options));
        pattern_init(&flows->pattern);
        inquiry_set(flows_answer, flows);
        flows_loop(flows);
        inquiry_set(NULL, NULL);
        report->elapsed = clock_now() - flows->start;
        progress_clear(&flows->progress);
        flows_close(flows);
        flows_judge(flows);
        verdict_set_flows(report, flows->options->count * flows->count, flows->interrupted);
}

/* Prints the header; the first port allows to repeat the same flows. */
static void flows_print(const Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        char target[TARGET_TEXT_SIZE];

        if (!client_options_want_lines(options))
                return;
        target_format(&options->target, target);
        printf("mpecho-client: %" PRIu64 " byte%s to %s%s, %" PRIu64
               " flow%s, --source-port=%" PRIu64 "\n",
               options->size, quantity_plural(options->size), target,
               options->connection.datagram ? ", by UDP" : "", flows->count,
               quantity_plural(flows->count), first);
        fflush(stdout);
}

/* Chooses the ports, prepares the flows and measures them. */
static void flows_start(Flows *flows) {
        Report *report = flows->report;
        uint64_t first;

        if (ports_choose(flows->settings.endpoint.any.sa_family, &flows->settings.connection,
                         flows->options->source_port, flows->count, &first, &report->failure) < 0 ||
            !flows_prepare(flows, first)) {
                /* No connection came about. */
                report->path = (Path){};
                return;
        }
        report->flows_count = flows->count;
        flows_print(flows, first);
        flows_measure(flows);
}

static bool flows_allocate(Flows *flows) {
        const size_t count = flows->count;

        flows->report->flows = calloc(count, sizeof *flows->report->flows);
        flows->due = calloc(count, sizeof *flows->due);
        flows->polled = calloc(count + 1, sizeof *flows->polled);
        flows->list = calloc(count, sizeof *flows->list);
        flows->datagrams = calloc(count, sizeof *flows->datagrams);
        flows->buffers = calloc(2 * count, flows->options->size + 1);
        if (flows->options->connection.datagram) {
                flows->payload = malloc(sizeof *flows->payload);
                if (flows->payload == NULL)
                        return false;
                payload_init(flows->payload, flows->options->size);
        }
        return flows->report->flows != NULL && flows->due != NULL && flows->polled != NULL &&
               flows->list != NULL && flows->datagrams != NULL && flows->buffers != NULL;
}

void flows_run(const ClientOptions *options, Report *report) {
        Flows flows = { .options = options,
                        .report = report,
                        .count = options->flows,
                        .settings = { .connection = options->connection,
                                      .timeout = options->timeout } };

        if (!flows_allocate(&flows))
                failure_set(&report->failure, 0, "Cannot allocate memory for %" PRIu64 " flow%s",
                            flows.count, quantity_plural(flows.count));
        else if (path_resolve(&options->target, &options->connection, &report->path,
                              &report->failure) == 0) {
                flows.settings.endpoint = report->path.endpoint;
                flows_start(&flows);
        }
        free(flows.due);
        free(flows.polled);
        free(flows.list);
        free(flows.datagrams);
        free(flows.payload);
        free(flows.buffers);
}
