/* SPDX-License-Identifier: MIT */
/*
 * Exchanges datagrams with an echo service, for a ping and for a check.
 *
 * One loop sends what is due, takes what came back, and waits for the next of both. A ping sends at
 * its interval, as ping(8) does. A check sends while the open datagrams are fewer than a window. A
 * lost one leaves it by the timeout, so losses slow a check down and do not stop it.
 *
 * The flow says what happened to each datagram. A ping prints a line for each event; a check prints
 * the first changed ones. At the end the counts decide (verdict.c).
 *
 * Datagrams that are open at the end are not lost: nobody knows. A datagram that this machine does
 * not send counts as sent and rejected, never as lost. A queue that stays full for the timeout must
 * not hold up the run: that of a Unix socket is the peer's, who may never read it.
 */
#include "client/run/exchange.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/network/flow.h"
#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/output/progress.h"
#include "client/output/round_trip.h"
#include "client/output/verdict.h"
#include "client/value/pace.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        /* The flow remembers this many datagrams: a quarter of an hour of the fastest ping. */
        EXCHANGE_REMEMBERED = 1 << 20,
        /* The window of a check. More could exceed the receive buffer of a service (socket(7)). The
         * bytes are more than any datagram has: one may always be open. */
        EXCHANGE_WINDOW = 64,
        EXCHANGE_WINDOW_BYTES = 64 << 10,
        EXCHANGE_BATCH = 16,
        EXCHANGE_FAULTS = 10,
};

#define EXCHANGE_PROGRESS (200 * CLOCK_MILLISECOND)

typedef struct Exchange {
        const ClientOptions *options;
        Report *report;
        Flow flow;
        /* The number of datagrams to send; UINT64_MAX for no limit. */
        uint64_t total;
        uint64_t start;
        uint64_t end;
        /* The instant of a ping's next datagram. */
        uint64_t due;
        uint64_t next_progress;
        /* The instant since which the kernel takes no datagram; CLOCK_NEVER while it takes them. */
        uint64_t full;
        /* A signal, or standard output without a reader, ended the run. */
        bool over;
        /* Standard output has no reader. */
        bool unread;
        Interims interims;
        Progress progress;
} Exchange;

static bool exchange_is_check(const Exchange *exchange) {
        return exchange->options->action == CLIENT_CHECK;
}

/* Returns the instant of the next datagram; CLOCK_NEVER while none may be sent. */
static uint64_t exchange_due(const Exchange *exchange) {
        const ClientOptions *options = exchange->options;
        const VolleyCounts *counts = &exchange->flow.volley.counts;

        if (counts->sent >= exchange->total)
                return CLOCK_NEVER;
        if (!exchange_is_check(exchange))
                return exchange->due;
        if (counts->open >= EXCHANGE_WINDOW ||
            (counts->open + 1) * options->size > EXCHANGE_WINDOW_BYTES)
                return CLOCK_NEVER;
        return pace_due(&(Pace){ .start = exchange->start, .rate = options->bandwidth },
                        counts->sent * options->size);
}

static void exchange_note_fault(Exchange *exchange, const FlowEvent *event) {
        Report *report = exchange->report;
        char text[FAULT_TEXT_SIZE];

        if (report->faults++ == 0) {
                report->fault = event->fault;
                report->faulty = event->number + 1;
        }
        if (!exchange_is_check(exchange) || exchange->options->quiet || exchange->options->json ||
            report->faults > EXCHANGE_FAULTS)
                return;
        progress_clear(&exchange->progress);
        fault_format(&event->fault, text);
        printf("datagram %" PRIu64 ": %s\n", event->number + 1, text);
        fflush(stdout);
}

/* Returns what the line of an answer says besides its time. */
static const char *exchange_remark(const VolleyAnswer *answer) {
        switch (answer->verdict) {
        case VOLLEY_DUPLICATED:
                return " (duplicated)";
        case VOLLEY_LATE:
                return answer->reordered ? " (late, reordered)" : " (late)";
        default:
                return answer->reordered ? " (reordered)" : "";
        }
}

/* Prints the line of a ping about @event. Returns whether it has a reader. */
static bool exchange_print(const Exchange *exchange, const FlowEvent *event) {
        const VolleyAnswer *answer = &event->answer;
        char text[FAULT_TEXT_SIZE], seconds[QUANTITY_TEXT_SIZE];
        uint64_t sequence = event->number + 1;

        if (event->kind == FLOW_EXPIRED) {
                snprintf(text, sizeof text, "no answer within %s s",
                         quantity_format_time(exchange->options->timeout, seconds));
        } else if (event->kind == FLOW_REJECTED) {
                snprintf(text, sizeof text, "%s", event->rejection.text);
        } else if (answer->verdict == VOLLEY_UNRECOGNIZED) {
                snprintf(text, sizeof text, "the answer is unrecognized");
                sequence = 0;
        } else if (answer->verdict == VOLLEY_CHANGED) {
                fault_format(&event->fault, text);
        } else {
                return round_trip_print(exchange->options, exchange->report, sequence, answer->time,
                                        exchange_remark(answer));
        }
        return round_trip_print_error(exchange->options, exchange->report, sequence, text);
}

static void exchange_count_answer(Exchange *exchange, const FlowEvent *event) {
        const VolleyVerdict verdict = event->answer.verdict;
        Report *report = exchange->report;

        report->bytes_received += exchange->flow.answer_size;
        report->receive_time = clock_now() - exchange->start;
        if (verdict == VOLLEY_ANSWERED)
                histogram_record(&report->latency, event->answer.time);
        if (verdict == VOLLEY_CHANGED)
                exchange_note_fault(exchange, event);
        if (verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(&exchange->flow, report->foreign);
        /* A flood goes on with the answer to the last datagram. */
        if (exchange->options->flood && verdict != VOLLEY_UNRECOGNIZED &&
            event->number + 1 == exchange->flow.volley.counts.sent)
                exchange->due = 0;
}

static void exchange_take(Exchange *exchange, const FlowEvent *event) {
        if (event->kind == FLOW_ANSWER)
                exchange_count_answer(exchange, event);
        if (!exchange_is_check(exchange) && !exchange->unread && !exchange_print(exchange, event))
                exchange->over = exchange->unread = true;
}

/* Returns the instant from which datagrams that the kernel does not take are rejected. */
static uint64_t exchange_patience(const Exchange *exchange) {
        const uint64_t timeout = exchange->options->timeout;

        return exchange->full == CLOCK_NEVER || timeout == 0 ? CLOCK_NEVER
                                                             : exchange->full + timeout;
}

/* Sends or rejects the next datagram. Returns false while the kernel may still take it. */
static bool exchange_offer(Exchange *exchange, uint64_t now, FlowEvent *ret_event) {
        if (flow_send(&exchange->flow, now, ret_event) == 0) {
                exchange->full = CLOCK_NEVER;
                return true;
        }
        exchange->full = clock_earlier(exchange->full, now);
        if (now < exchange_patience(exchange))
                return false;
        flow_reject(&exchange->flow, now, ret_event);
        return true;
}

/* Returns whether the next datagram can follow. */
static bool exchange_send(Exchange *exchange, uint64_t now) {
        const ClientOptions *options = exchange->options;
        FlowEvent event;

        if (!exchange_offer(exchange, now, &event))
                return false;
        exchange->due += options->interval;
        if (exchange->due < now)
                exchange->due = now;
        if (options->flood)
                exchange->due = now + FLOW_FLOOD;
        if (event.kind == FLOW_REJECTED) {
                exchange_take(exchange, &event);
                return true;
        }
        exchange->report->bytes_sent += options->size;
        exchange->report->send_time = clock_now() - exchange->start;
        return true;
}

/* Sends what is due, but not all of a window: answers come meanwhile. */
static void exchange_catch_up(Exchange *exchange, uint64_t now) {
        for (int i = 0; i < EXCHANGE_BATCH && exchange_due(exchange) <= now; i++)
                if (!exchange_send(exchange, now))
                        return;
}

static Interim exchange_count(const Exchange *exchange) {
        const VolleyCounts *counts = &exchange->flow.volley.counts;
        const uint64_t failed = volley_failed(counts) + counts->unrecognized;

        return report_count(exchange->report, exchange->start,
                            exchange_is_check(exchange) ? exchange->report->faults : failed);
}

static void exchange_answer(void *userdata) {
        Exchange *exchange = userdata;
        const Interim count = exchange_count(exchange);

        report_print_state(&count, &exchange->report->latency, exchange->options,
                           &exchange->progress);
}

static void exchange_show_progress(Exchange *exchange, const Interim *count) {
        const uint64_t sent = exchange->flow.volley.counts.sent;
        char total[32] = "";

        if (exchange->total != UINT64_MAX)
                snprintf(total, sizeof total, " of %" PRIu64, exchange->total);
        progress_show(&exchange->progress, "%.1f s  %" PRIu64 "%s  %.0f/s",
                      clock_seconds(count->elapsed), sent, total,
                      interim_rate(sent, count->elapsed));
}

static void exchange_tick(Exchange *exchange, uint64_t now) {
        const Interim count = exchange_count(exchange);

        if (now >= exchange->interims.next)
                interims_report(&exchange->interims, &count);
        if (now < exchange->next_progress)
                return;
        exchange->next_progress =
                        exchange->progress.enabled ? now + EXCHANGE_PROGRESS : CLOCK_NEVER;
        if (exchange->progress.enabled)
                exchange_show_progress(exchange, &count);
}

static int exchange_wait(Exchange *exchange) {
        const uint64_t patience = exchange_patience(exchange);
        const bool full = exchange->full != CLOCK_NEVER && clock_now() < patience;
        struct pollfd polled[] = {
                { .fd = exchange->flow.fd, .events = (short)(POLLIN | (full ? POLLOUT : 0)) },
                { .fd = exchange->options->connection.interrupt, .events = POLLIN }
        };
        uint64_t wake = clock_earlier(exchange->end, volley_deadline(&exchange->flow.volley));
        int r;

        wake = clock_earlier(wake, full ? patience : exchange_due(exchange));
        wake = clock_earlier(wake, exchange->interims.next);
        wake = clock_earlier(wake, exchange->next_progress);
        r = inquiry_poll(polled, 2, wake);
        if (r > 0 && polled[1].revents != 0)
                exchange->over = true;
        return r;
}

static void exchange_loop(Exchange *exchange) {
        const VolleyCounts *counts = &exchange->flow.volley.counts;
        uint64_t now = clock_now();
        FlowEvent event;

        while (!exchange->over && now < exchange->end &&
               (counts->sent < exchange->total || counts->open > 0)) {
                exchange_catch_up(exchange, now);
                for (int i = 0;
                     i < FLOW_BATCH && !exchange->over && flow_next(&exchange->flow, &event); i++)
                        exchange_take(exchange, &event);
                exchange_tick(exchange, now);
                if (counts->sent >= exchange->total && counts->open == 0)
                        return;
                if (exchange_wait(exchange) < 0)
                        exchange->over = true;
                now = clock_now();
        }
        /* One more look: this process may have had no processor. */
        exchange->flow.end = clock_earlier(exchange->end, interrupt_instant());
        while (now >= exchange->flow.end && flow_next(&exchange->flow, &event))
                exchange_take(exchange, &event);
}

static void exchange_begin(Exchange *exchange) {
        const ClientOptions *options = exchange->options;
        char target[TARGET_TEXT_SIZE];

        if (!exchange_is_check(exchange) && client_options_want_lines(options)) {
                target_format(&options->target, target);
                printf("mpecho-client: %" PRIu64 " byte%s to %s, in datagrams\n", options->size,
                       quantity_plural(options->size), target);
                fflush(stdout);
        }
        progress_init(&exchange->progress, client_options_want_progress(options) &&
                                                           (exchange_is_check(exchange) ||
                                                            !client_options_want_lines(options)));
        exchange->start = exchange->due = clock_now();
        exchange->full = CLOCK_NEVER;
        exchange->end = options->duration == 0 ? CLOCK_NEVER : exchange->start + options->duration;
        exchange->next_progress = exchange->start + EXCHANGE_PROGRESS;
        interims_init(&exchange->interims, options, exchange->start);
}

static void exchange_measure(Exchange *exchange) {
        Report *report = exchange->report;
        Interim count;

        exchange_begin(exchange);
        exchange->flow.end = exchange->end;
        inquiry_set(exchange_answer, exchange);
        exchange_loop(exchange);
        inquiry_set(NULL, NULL);
        progress_clear(&exchange->progress);
        count = exchange_count(exchange);
        interims_end(&exchange->interims, &count);
        report->elapsed = clock_now() - exchange->start;
        report->attempts = exchange->flow.volley.counts.sent;
        report_add_flow(report, &exchange->flow);
        verdict_set_datagrams(report, exchange->total == UINT64_MAX ? 0 : exchange->total,
                              exchange->over, !exchange_is_check(exchange));
}

/* Returns the number of datagrams to send. A check sends whole ones. */
static uint64_t exchange_total(const ClientOptions *options) {
        if (options->action == CLIENT_CHECK)
                return (options->check_size + options->size - 1) / options->size;
        return options->count == 0 ? UINT64_MAX : options->count;
}

void exchange_run(const ClientOptions *options, Report *report) {
        static Payload payload;
        Exchange exchange = { .options = options,
                              .report = report,
                              .total = exchange_total(options) };
        int fd, r;

        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        payload_init(&payload, options->size);
        r = flow_init(&exchange.flow, fd, &payload, 0, EXCHANGE_REMEMBERED, options->timeout,
                      !options->dont_fragment);
        if (r < 0) {
                failure_set(&report->failure, 0, "Cannot prepare the socket: %s", strerror(-r));
                /* Nothing is to be reported of this path. */
                report->path = (Path){};
        } else {
                exchange_measure(&exchange);
                flow_deinit(&exchange.flow);
        }
        close(fd);
}
