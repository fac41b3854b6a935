/* SPDX-License-Identifier: MIT */
/*
 * Checks a path: sends pseudo-random bytes, compares the echo with them, and names the first fault.
 *
 * Two processes share the work. The child makes the bytes of a Pattern and sends them. This process
 * receives, makes the same bytes again and compares. Neither stores them, so a check may have any
 * length. The first faults are printed when they are found, because the end may be hours away.
 *
 * The verdict follows an order. A fault in the bytes outweighs the way in which the connection
 * ended. Another service outweighs both, since its faults would mislead. A check must never report
 * "intact" before the peer has ended in order.
 */
#include "client/run/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/content/comparison.h"
#include "client/content/foreign.h"
#include "client/content/pattern.h"
#include "client/network/inquiry.h"
#include "client/output/progress.h"
#include "client/run/receiver.h"
#include "client/run/sender.h"
#include "client/value/pace.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

/* A check that ends sooner shows no progress. */
#define CHECK_PATIENCE (100 * CLOCK_MILLISECOND)

typedef struct Check {
        const ClientOptions *options;
        Report *report;
        Pattern pattern;
        /* Of the sender's process: the pace, and the number of bytes so far. */
        Pace pace;
        uint64_t given;
        Sender sender;
        Receiver receiver;
        Comparison comparison;
        /* The number of printed faults, and whether a fault without an end is printed. */
        uint64_t printed;
        bool adrift;
        bool silent;
        Progress progress;
        Interims interims;
} Check;

static ssize_t check_fill(void *userdata, void *buffer, size_t size) {
        Check *check = userdata;
        uint64_t left = check->options->check_size - check->given;
        size_t n = pace_piece(&check->pace, left < size ? (size_t)left : size);

        clock_sleep(pace_due(&check->pace, check->given));
        pattern_fill(&check->pattern, check->given, buffer, n);
        check->given += n;
        return (ssize_t)n;
}

static void check_print(Check *check, const char *text) {
        if (check->silent)
                return;
        progress_clear(&check->progress);
        printf("%s\n", text);
        fflush(stdout);
}

/* Prints the first faults at once: the end of a long check may be hours away. */
static void check_print_faults(Check *check) {
        const Comparison *comparison = &check->comparison;
        char text[FAULT_TEXT_SIZE];

        for (; check->printed < comparison->faults && check->printed < COMPARISON_FIRST_FAULTS;
             check->printed++) {
                fault_format(&comparison->first[check->printed], text);
                check_print(check, text);
        }
        if (comparison_is_adrift(comparison) && !check->adrift &&
            check->printed < COMPARISON_FIRST_FAULTS) {
                fault_format(&(Fault){ .kind = FAULT_UNRECOGNIZED,
                                       .offset = comparison->received - comparison->lost_size },
                             text);
                check_print(check, text);
        }
        check->adrift = comparison_is_adrift(comparison);
}

/* Recognizes the answer of another service, whose faults would mislead. */
static void check_greet(Check *check, const void *data, size_t size) {
        char expected[FOREIGN_TEXT_SIZE];
        size_t looked = size < sizeof expected ? size : sizeof expected;

        pattern_fill(&check->pattern, 0, expected, looked);
        if (foreign_describe(data, expected, looked, check->report->foreign))
                check->silent = true;
}

static int check_take(void *userdata, const void *data, size_t size) {
        Check *check = userdata;

        if (check->comparison.received == 0)
                check_greet(check, data, size);
        comparison_take(&check->comparison, data, size);
        check_print_faults(check);
        return 0;
}

static Interim check_count(const Check *check) {
        /* Before the time: the sender goes on while this process waits for a processor, and no rate
         * may exceed --bandwidth. */
        const uint64_t sent = sender_bytes(&check->sender);

        return (Interim){ .elapsed = clock_now() - check->interims.start,
                          .bytes_sent = sent,
                          .bytes_received = check->receiver.bytes,
                          .errors = check->comparison.faults };
}

/* Returns the counts while the sender goes on. */
static Interim check_count_so_far(const Check *check) {
        Interim count = check_count(check);

        interim_settle(&count);
        return count;
}

static void check_show_progress(Check *check, const Interim *count) {
        char done[QUANTITY_TEXT_SIZE], all[QUANTITY_TEXT_SIZE], rate[QUANTITY_TEXT_SIZE];
        const double total = (double)check->options->check_size;
        double speed = interim_rate(count->bytes_received, count->elapsed);
        double left = total - (double)count->bytes_received;

        progress_show(&check->progress, "%.1f s  %s of %s  %s/s  %.1f s left",
                      clock_seconds(count->elapsed),
                      quantity_format_bytes((double)count->bytes_received, done),
                      quantity_format_bytes(total, all), quantity_format_bytes(speed, rate),
                      speed > 0 && left > 0 ? left / speed : 0);
}

static uint64_t check_tick(void *userdata) {
        Check *check = userdata;
        const Interim count = check_count_so_far(check);

        if (check->interims.start + count.elapsed >= check->interims.next)
                interims_report(&check->interims, &count);
        if (count.elapsed >= CHECK_PATIENCE)
                check_show_progress(check, &count);
        return check->interims.next;
}

static void check_answer(void *userdata) {
        Check *check = userdata;
        const Interim count = check_count_so_far(check);

        report_print_state(&count, &check->report->latency, check->options, &check->progress);
}

static void check_judge_timeout(const Check *check) {
        const uint64_t received = check->receiver.bytes;
        char seconds[QUANTITY_TEXT_SIZE];
        const char *what = "nothing more came back";

        if (received == 0)
                what = "0 bytes came back";
        else if (received >= check->options->check_size)
                what = "all came back intact, but the connection was not closed";
        failure_set_kind(&check->report->failure, FAILURE_TIMEOUT, 0, "%s within %s s", what,
                         quantity_format_time(check->options->timeout, seconds));
}

/* Explains the end of a stream that did not end in order; @r is that of receiver_run(). */
static void check_judge_connection(const Check *check, int r) {
        const Sender *sender = &check->sender;
        Failure *failure = &check->report->failure;

        if (r == RECEIVER_END && sender->end == SENDER_CONNECTION_FAILED && sender->error != EPIPE)
                r = -sender->error;
        if (r < 0)
                failure_set_kind(failure, failure_kind_from_errno(-r), 0,
                                 "the connection broke: %s", strerror(-r));
        else if (r == RECEIVER_INTERRUPTED)
                failure_set_kind(failure, FAILURE_INTERRUPTED, 0, "ended early, %s",
                                 check->receiver.bytes == 0 ? "0 bytes came back"
                                                            : "intact so far");
        else if (r == RECEIVER_TIMEOUT)
                check_judge_timeout(check);
        else if (r == RECEIVER_ENDLESS)
                failure_set_kind(failure, FAILURE_DIFFERS, 0, "more comes back than was sent");
        else if (sender->end == SENDER_KILLED)
                failure_set(failure, 0, "signal %d (%s) ended the sending process", sender->error,
                            strsignal(sender->error));
        else if (sender->end != SENDER_FINISHED)
                failure_set_kind(failure, FAILURE_CLOSED, 0, "the connection was closed early");
}

static void check_judge_stream(const Comparison *comparison, Report *report) {
        const Fault *first = &comparison->first[0];
        bool missing = first->kind == FAULT_DROPPED || first->kind == FAULT_TRUNCATED;
        char text[FAULT_TEXT_SIZE];

        report->fault = *first;
        report->faults = comparison->faults;
        if (comparison->faults == 0)
                return;
        fault_format(first, text);
        failure_set_kind(&report->failure, missing ? FAILURE_MISSING : FAILURE_DIFFERS, 0, "%s",
                         text);
        if (comparison->faults > 1)
                failure_append(&report->failure, ", the first of %" PRIu64 " fault%s",
                               comparison->faults, quantity_plural(comparison->faults));
}

static void check_judge(const Check *check, int r) {
        Report *report = check->report;

        check_judge_connection(check, r);
        check_judge_stream(&check->comparison, report);
        if (report->foreign[0] != '\0')
                failure_set_kind(&report->failure, FAILURE_DIFFERS, 0, "%s", report->foreign);
}

static uint64_t check_since(uint64_t start, uint64_t instant) {
        return instant > start ? instant - start : 0;
}

static void check_prepare(Check *check, int fd) {
        const ClientOptions *options = check->options;
        const uint64_t start = clock_now();

        check->silent = options->quiet || options->json;
        check->pace = (Pace){ .start = start, .rate = options->bandwidth };
        check->receiver = (Receiver){
                .fd = fd,
                .sender = &check->sender,
                .sink = { .take = check_take, .userdata = check },
                .timeout = options->timeout,
                .interrupt = options->connection.interrupt,
                .drains = true,
                .tick = check_tick,
                .tick_userdata = check,
        };
        interims_init(&check->interims, options, start);
        progress_init(&check->progress, client_options_want_progress(options));
        pattern_init(&check->pattern);
        comparison_init(&check->comparison, &check->pattern, options->check_size);
}

/* Receives the echo, and sums up. Returns what receiver_run() does. */
static int check_receive(Check *check) {
        const uint64_t start = check->interims.start;
        Report *report = check->report;
        Interim count;
        int r;

        inquiry_set(check_answer, check);
        r = receiver_run(&check->receiver);
        inquiry_set(NULL, NULL);
        report->elapsed = clock_now() - start;
        sender_stop(&check->sender);
        progress_clear(&check->progress);
        comparison_end(&check->comparison,
                       r == RECEIVER_END && check->sender.end == SENDER_FINISHED);
        if (check->comparison.faults > 1)
                check_print_faults(check);
        count = check_count(check);
        interims_end(&check->interims, &count);
        report->bytes_sent = sender_bytes(&check->sender);
        report->bytes_received = check->receiver.bytes;
        report->send_time = check_since(start, sender_last_sent(&check->sender));
        report->receive_time = check_since(start, check->receiver.last_received);
        return r;
}

static void check_exchange(Check *check, int fd) {
        int r;

        check_prepare(check, fd);
        r = sender_start(&check->sender, fd, &(Source){ .fill = check_fill, .userdata = check });
        if (r < 0) {
                failure_set(&check->report->failure, 0, "Cannot start the sending process: %s",
                            strerror(-r));
                return;
        }
        r = check_receive(check);
        check_judge(check, r);
        sender_deinit(&check->sender);
}

void check_run(const ClientOptions *options, Report *report) {
        static Check check;
        int fd;

        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        check.options = options;
        check.report = report;
        check_exchange(&check, fd);
        kernel_note(&report->kernel, fd);
        close(fd);
}
