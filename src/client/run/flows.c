/* SPDX-License-Identifier: MIT */
/*
 * Makes round trips from many local ports on one schedule, to find the paths that lose packets.
 *
 * All flows have the same interval and begin evenly spaced in it, so that a moment of loss hits all
 * of them alike. All flows go to the first address of a name. The kernel's choice of a path depends
 * on the ports, so these stay as they are, and --source-port repeats them.
 *
 * It must never connect to find out which address answers: that connection would be a flow of its
 * own, maybe on the bad path.
 */
#include "client/run/flows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/network/ports.h"
#include "client/output/progress.h"
#include "client/output/verdict.h"
#include "client/run/turns.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

/* Without an interval, first connections begin at this distance: all at once, they would fill the
 * queue of the service's socket. */
#define FLOWS_FIRST_GAP         CLOCK_MILLISECOND
#define FLOWS_PROGRESS_INTERVAL (200 * CLOCK_MILLISECOND)

typedef struct Flows {
        const ClientOptions *options;
        Report *report;
        Turns turns;
        uint64_t start;
        bool interrupted;
        uint64_t next_progress;
        Progress progress;
} Flows;

static void flows_show_progress(Flows *flows) {
        const uint64_t now = clock_now(), all = flows->options->count * flows->options->flows;
        const double elapsed = clock_seconds(now - flows->start);
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

static void flows_answer(void *userdata) {
        Flows *flows = userdata;
        const Report *report = flows->report;
        const Interim count = report_count(report, flows->start, turns_failed(&flows->turns));

        report_print_state(&count, &report->latency, flows->options, &flows->progress);
}

static void flows_loop(Flows *flows) {
        const int interrupt = flows->options->connection.interrupt;
        Turns *turns = &flows->turns;
        uint64_t wake;

        turns->polled[0] = (struct pollfd){ .fd = interrupt, .events = POLLIN };
        while (clock_now() < turns->end && turns_work(turns, &wake)) {
                flows_show_progress(flows);
                if (inquiry_poll(turns->polled, turns->count + 1, wake) < 0 ||
                    turns->polled[0].revents != 0)
                        break;
        }
        flows->interrupted = interrupt_is_due(interrupt);
        turns->end = clock_earlier(turns->end, interrupt_instant());
        if (clock_now() >= turns->end)
                turns_look(turns);
}

static void flows_judge(const Flows *flows) {
        FlowCount counts[JUDGEMENT_FLOWS_MAXIMUM];
        bool named[JUDGEMENT_FLOWS_MAXIMUM];
        Report *report = flows->report;

        for (size_t i = 0; i < flows->options->flows; i++)
                counts[i] = report->flows[i].packets;
        judgement_make(counts, flows->options->flows, named, &report->judgement);
        for (size_t i = 0; i < flows->options->flows; i++)
                report->flows[i].named = named[i];
}

/* Prepares all flows, from the port @first on. Returns whether it could. */
static bool flows_prepare(Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        const uint64_t gap = options->interval == 0 ? FLOWS_FIRST_GAP
                                                    : options->interval / flows->options->flows;
        Report *report = flows->report;
        int r = 0;

        flows->start = clock_now();
        flows->turns.end = options->duration == 0 ? CLOCK_NEVER : flows->start + options->duration;
        for (size_t i = 0; i < flows->options->flows && r == 0; i++) {
                report->flows[i].port = (in_port_t)(first + i);
                flows->turns.due[i] = flows->start + i * gap;
                r = turns_open(&flows->turns, i);
                if (r < 0)
                        failure_set(&report->failure, r, "Cannot use source port %hu: %s",
                                    report->flows[i].port, strerror(-r));
        }
        return r == 0;
}

static void flows_measure(Flows *flows) {
        Report *report = flows->report;

        progress_init(&flows->progress, client_options_want_progress(flows->options));
        pattern_init(&flows->turns.pattern);
        inquiry_set(flows_answer, flows);
        flows_loop(flows);
        inquiry_set(NULL, NULL);
        report->elapsed = clock_now() - flows->start;
        progress_clear(&flows->progress);
        turns_close(&flows->turns);
        /* Nobody answered at the address. Datagrams have no connections. */
        if (!flows->options->connection.datagram && report->phases.connections == 0)
                report->path = (Path){};
        flows_judge(flows);
        verdict_set_flows(report, flows->options->count * flows->options->flows,
                          flows->interrupted);
}

/* Prints the header, with the first port: --source-port repeats the same flows with it. */
static void flows_print(const Flows *flows, uint64_t first) {
        const ClientOptions *options = flows->options;
        char target[TARGET_TEXT_SIZE];

        if (!client_options_want_lines(options))
                return;
        target_format(&options->target, target);
        printf("mpecho-client: %" PRIu64 " byte%s to %s%s, %" PRIu64
               " flow%s, --source-port=%" PRIu64 "\n",
               options->size, quantity_plural(options->size), target,
               options->connection.datagram ? ", in datagrams" : "", flows->options->flows,
               quantity_plural(flows->options->flows), first);
        fflush(stdout);
}

static void flows_start(Flows *flows) {
        Report *report = flows->report;
        uint64_t first;

        if (ports_choose(flows->turns.settings.endpoint.any.sa_family,
                         &flows->turns.settings.connection, flows->options->source_port,
                         flows->options->flows, &first, &report->failure) < 0 ||
            !flows_prepare(flows, first)) {
                /* No connection came about. */
                report->path = (Path){};
                return;
        }
        report->flows_count = flows->options->flows;
        flows_print(flows, first);
        flows_measure(flows);
}

static bool flows_allocate(Turns *turns) {
        const size_t count = turns->count;

        turns->report->flows = calloc(count, sizeof *turns->report->flows);
        turns->due = calloc(count, sizeof *turns->due);
        turns->polled = calloc(count + 1, sizeof *turns->polled);
        turns->list = calloc(count, sizeof *turns->list);
        turns->datagrams = calloc(count, sizeof *turns->datagrams);
        turns->buffers = calloc(2 * count, turns->options->size + 1);
        if (turns->options->connection.datagram) {
                turns->payload = malloc(sizeof *turns->payload);
                if (turns->payload == NULL)
                        return false;
                payload_init(turns->payload, turns->options->size);
        }
        return turns->report->flows != NULL && turns->due != NULL && turns->polled != NULL &&
               turns->list != NULL && turns->datagrams != NULL && turns->buffers != NULL;
}

void flows_run(const ClientOptions *options, Report *report) {
        Flows flows = { .options = options,
                        .report = report,
                        .turns = { .options = options,
                                   .report = report,
                                   .count = options->flows,
                                   .settings = { .connection = options->connection,
                                                 .timeout = options->timeout } } };
        Turns *turns = &flows.turns;

        if (!flows_allocate(turns)) {
                failure_set(&report->failure, 0, "Cannot allocate memory for %" PRIu64 " flow%s",
                            options->flows, quantity_plural(options->flows));
        } else if (path_resolve(&options->target, &options->connection, &report->path,
                                &report->failure) == 0) {
                turns->settings.endpoint = report->path.endpoint;
                flows_start(&flows);
        }
        free(turns->due);
        free(turns->polled);
        free(turns->list);
        free(turns->datagrams);
        free(turns->payload);
        free(turns->buffers);
}
