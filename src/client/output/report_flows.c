/* SPDX-License-Identifier: MIT */
/*
 * Prints the flows of a ping: a row for each, and the judgement as a sentence.
 *
 * The sentence names the number of the bad flows, their loss and that of the others. The share of
 * the paths follows: hashes spread flows evenly, if there are enough of them. The parentheses have
 * the confidence. Without a bad flow, the sentence contains the loss that would have shown, or that
 * the packets are too few to show it.
 *
 * The sentence must never claim more than the judgement: silence about loss is no proof of a good
 * path.
 */
#include "client/output/report_flows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "client/value/quantity.h"

static const char *flows_format_rate(const FlowCount *count, char text[static QUANTITY_TEXT_SIZE]) {
        char percent[QUANTITY_TEXT_SIZE];

        if (count->lost == 0)
                return "none";
        snprintf(text, QUANTITY_TEXT_SIZE, "%.*s %%", QUANTITY_TEXT_SIZE - 3,
                 quantity_format_percent(100 * judgement_rate(count), 2, percent));
        return text;
}

static void flows_verdict_named(const Report *report, char text[static FLOWS_VERDICT_SIZE]) {
        const Judgement *judgement = &report->judgement;
        char worse[QUANTITY_TEXT_SIZE], others[QUANTITY_TEXT_SIZE], share[64] = "most paths";
        long ratio = lround((double)report->flows_count / (double)judgement->named);

        if (ratio > 1)
                snprintf(share, sizeof share, "about one path in %ld", ratio);
        snprintf(text, FLOWS_VERDICT_SIZE,
                 "%zu of %zu flows lose%s %s, the others %s: %s "
                 "(p <= %.2g, Fisher's exact test, Bonferroni's correction)",
                 judgement->named, report->flows_count, judgement->named == 1 ? "s" : "",
                 flows_format_rate(&judgement->worse, worse),
                 flows_format_rate(&judgement->others, others), share,
                 fmax(judgement->probability, 1e-9));
}

void report_flows_verdict(const Report *report, char text[static FLOWS_VERDICT_SIZE]) {
        const Judgement *judgement = &report->judgement;
        const double loss = 100 * JUDGEMENT_LOSS;
        char rate[QUANTITY_TEXT_SIZE], start[96];

        if (judgement->named > 0) {
                flows_verdict_named(report, text);
                return;
        }
        snprintf(start, sizeof start, "No flow loses more than the others, which lose %s",
                 flows_format_rate(&judgement->others, rate));
        if (judgement->needed == 0)
                snprintf(text, FLOWS_VERDICT_SIZE,
                         "%s: a path that loses %.0f %% does not show among them", start, loss);
        else if (judgement->enough)
                snprintf(text, FLOWS_VERDICT_SIZE, "%s: a path that loses %.0f %% would show",
                         start, loss);
        else
                snprintf(text, FLOWS_VERDICT_SIZE,
                         "%s, but these are too few packets: a path that loses %.0f %% shows "
                         "from %" PRIu64 " of each flow on",
                         start, loss, judgement->needed);
}

static const char *flows_format_quantile(const Histogram *latency, unsigned permille,
                                         char text[static QUANTITY_TEXT_SIZE]) {
        if (!histogram_has_quantile(latency, permille))
                return "-";
        return quantity_format_duration((double)histogram_quantile(latency, permille), text);
}

static void flows_print_row(const FlowResult *flow, const ClientOptions *options) {
        char p50[QUANTITY_TEXT_SIZE], p99[QUANTITY_TEXT_SIZE], rtt[QUANTITY_TEXT_SIZE] = "-";
        char loss[QUANTITY_TEXT_SIZE];

        if (flow->latency.count > 0)
                quantity_format_duration((double)flow->kernel.rtt, rtt);
        printf("%5hu %6" PRIu64 " %6" PRIu64 " %8s %8s %6" PRIu64, flow->port, flow->sent,
               flow->lost, flows_format_quantile(&flow->latency, 500, p50),
               flows_format_quantile(&flow->latency, 990, p99), flow->late);
        if (!options->connection.datagram)
                printf(" %8" PRIu64 " %11" PRIu64 " %8s", flow->kernel.segments,
                       flow->kernel.retransmits, rtt);
        if (flow->named)
                printf("  loses %s", flows_format_rate(&flow->packets, loss));
        putchar('\n');
}

void report_flows_print(const Report *report, const ClientOptions *options) {
        printf("%5s %6s %6s %8s %8s %6s%s\n", "port", "sent", "lost", "p50", "p99", "late",
               options->connection.datagram ? "" : " segments retransmits      rtt");
        for (size_t i = 0; i < report->flows_count; i++)
                flows_print_row(&report->flows[i], options);
}

static void flows_json_row(Json *json, const FlowResult *flow) {
        const Histogram *latency = &flow->latency;
        const Kernel *kernel = &flow->kernel;

        json_open(json, NULL);
        json_integer(json, "port", flow->port);
        json_boolean(json, "named", flow->named);
        json_integer(json, "sent", flow->sent);
        json_integer(json, "answered", latency->count);
        json_integer(json, "lost", flow->lost);
        json_number(json, "p50", report_quantile(latency, 500));
        json_number(json, "p99", report_quantile(latency, 990));
        json_integer(json, "late", flow->late);
        if (kernel->known) {
                json_integer(json, "segments", kernel->segments);
                json_integer(json, "retransmits", kernel->retransmits);
        } else {
                json_null(json, "segments");
                json_null(json, "retransmits");
        }
        json_number(json, "rtt",
                    kernel->known && latency->count > 0 ? (double)kernel->rtt / 1000 : NAN);
        json_close(json);
}

void report_flows_json(Json *json, const Report *report) {
        const Judgement *judgement = &report->judgement;
        char verdict[FLOWS_VERDICT_SIZE];

        if (report->flows_count == 0) {
                json_null(json, "flows");
                return;
        }
        report_flows_verdict(report, verdict);
        json_open(json, "flows");
        json_string(json, "verdict", verdict);
        json_integer(json, "named", judgement->named);
        json_number(json, "loss", judgement_rate(&judgement->worse));
        json_number(json, "other_loss", judgement_rate(&judgement->others));
        json_small(json, "probability", judgement->probability);
        json_boolean(json, "enough", judgement->enough);
        json_open_list(json, "list");
        for (size_t i = 0; i < report->flows_count; i++)
                flows_json_row(json, &report->flows[i]);
        json_close_list(json);
        json_close(json);
}
