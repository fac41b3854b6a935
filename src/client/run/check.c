/* SPDX-License-Identifier: MIT */
/*
 * Checks a path: sends pseudo-random bytes, compares the echo with them, and names the first fault.
 *
 * Two processes share the work. The child makes the bytes of a Pattern and sends them. This process
 * receives, makes the same bytes again and compares. Neither stores them, so a check may have any
 * length. Each fault is printed when it is found, because the end may be hours away.
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

/* The receiving process's view of the echo. */
typedef struct CheckSink {
        Comparison comparison;
        const Pattern *pattern;
        /* The report's phrase about another service. */
        char *foreign;
        /* The number of printed faults, and whether a fault without an end is printed. */
        uint64_t told;
        bool adrift;
        bool silent;
        Progress *progress;
} CheckSink;

/* The state of the sender's process. */
typedef struct CheckSource {
        Pattern pattern;
        Pace pace;
        uint64_t given;
        uint64_t total;
} CheckSource;

typedef struct CheckProgress {
        Progress progress;
        Interims interims;
        const Receiver *receiver;
} CheckProgress;

static ssize_t check_fill(void *userdata, void *buffer, size_t size) {
        CheckSource *source = userdata;
        uint64_t left = source->total - source->given;
        size_t n = pace_piece(&source->pace, left < size ? (size_t)left : size);

        clock_sleep(pace_due(&source->pace, source->given));
        pattern_fill(&source->pattern, source->given, buffer, n);
        source->given += n;
        return (ssize_t)n;
}

static void check_print(const CheckSink *sink, const char *text) {
        if (sink->silent)
                return;
        progress_clear(sink->progress);
        printf("%s\n", text);
        fflush(stdout);
}

/* Prints the first faults at once: the end of a long check may be hours away. */
static void check_tell(CheckSink *sink) {
        const Comparison *comparison = &sink->comparison;
        char text[FAULT_TEXT_SIZE];

        for (; sink->told < comparison->faults && sink->told < COMPARISON_FIRST_FAULTS;
             sink->told++) {
                fault_format(&comparison->first[sink->told], text);
                check_print(sink, text);
        }
        if (comparison_is_adrift(comparison) && !sink->adrift &&
            sink->told < COMPARISON_FIRST_FAULTS) {
                fault_format(&(Fault){ .kind = FAULT_UNRECOGNIZED,
                                       .offset = comparison->received - comparison->lost_size },
                             text);
                check_print(sink, text);
        }
        sink->adrift = comparison_is_adrift(comparison);
}

/* Recognizes the answer of another service, whose faults would mislead. */
static void check_greet(CheckSink *sink, const void *data, size_t size) {
        char expected[FOREIGN_TEXT_SIZE];
        size_t looked = size < sizeof expected ? size : sizeof expected;

        pattern_fill(sink->pattern, 0, expected, looked);
        if (foreign_describe(data, expected, looked, sink->foreign))
                sink->silent = true;
}

static int check_take(void *userdata, const void *data, size_t size) {
        CheckSink *sink = userdata;

        if (sink->comparison.received == 0)
                check_greet(sink, data, size);
        comparison_take(&sink->comparison, data, size);
        check_tell(sink);
        return 0;
}

static Interim check_count(const CheckProgress *progress) {
        const Receiver *receiver = progress->receiver;
        const CheckSink *sink = receiver->sink.userdata;

        return (Interim){ .elapsed = clock_now() - progress->interims.start,
                          .bytes_sent = sender_bytes(receiver->sender),
                          .bytes_received = receiver->bytes,
                          .errors = sink->comparison.faults };
}

static void check_show_progress(CheckProgress *progress, const Interim *count) {
        char done[QUANTITY_TEXT_SIZE], all[QUANTITY_TEXT_SIZE], rate[QUANTITY_TEXT_SIZE];
        const double total = (double)progress->interims.options->check_size;
        double speed = interim_rate(count->bytes_received, count->elapsed);
        double left = total - (double)count->bytes_received;

        progress_show(&progress->progress, "%.1f s  %s of %s  %s/s  %.1f s left",
                      (double)count->elapsed / (double)CLOCK_SECOND,
                      quantity_format_bytes((double)count->bytes_received, done),
                      quantity_format_bytes(total, all), quantity_format_bytes(speed, rate),
                      speed > 0 && left > 0 ? left / speed : 0);
}

static uint64_t check_tick(Receiver *receiver, void *userdata) {
        CheckProgress *progress = userdata;
        const Interim count = check_count(progress);

        (void)receiver;
        if (progress->interims.start + count.elapsed >= progress->interims.next)
                interims_report(&progress->interims, &count);
        if (count.elapsed >= CHECK_PATIENCE)
                check_show_progress(progress, &count);
        return progress->interims.next;
}

/* Answers an inquiry. */
static void check_answer(void *userdata) {
        const Interim none = {};
        CheckProgress *progress = userdata;
        const Interim count = check_count(progress);

        progress_clear(&progress->progress);
        interim_print(stderr, &none, &count, progress->interims.options);
}

static void check_judge_timeout(const Receiver *receiver, const ClientOptions *options,
                                Failure *failure) {
        char seconds[QUANTITY_TEXT_SIZE];
        const char *what = "nothing more came back";

        if (receiver->bytes == 0)
                what = "0 bytes came back";
        else if (receiver->bytes >= options->check_size)
                what = "all came back intact, but the connection was not closed";
        failure_set_kind(failure, FAILURE_TIMEOUT, 0, "%s within %s s", what,
                         quantity_format_time(options->timeout, seconds));
}

/* Explains the end of a stream that did not end in order. */
static void check_judge_connection(const Receiver *receiver, int r, const ClientOptions *options,
                                   Failure *failure) {
        const Sender *sender = receiver->sender;

        if (r == RECEIVER_END && sender->end == SENDER_CONNECTION_FAILED && sender->error != EPIPE)
                r = -sender->error;
        if (r < 0)
                failure_set_kind(failure, failure_kind_from_errno(-r), 0,
                                 "the connection broke: %s", strerror(-r));
        else if (r == RECEIVER_INTERRUPTED)
                failure_set_kind(failure, FAILURE_INTERRUPTED, 0, "ended early, %s",
                                 receiver->bytes == 0 ? "0 bytes came back" : "intact so far");
        else if (r == RECEIVER_TIMEOUT)
                check_judge_timeout(receiver, options, failure);
        else if (r == RECEIVER_ENDLESS)
                failure_set_kind(failure, FAILURE_DIFFERS, 0, "more comes back than was sent");
        else if (sender->end == SENDER_KILLED)
                failure_set_kind(failure, FAILURE_LOCAL, 0,
                                 "signal %d (%s) ended the sending process", sender->error,
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
                failure_append(&report->failure, ", the first of %" PRIu64 " faults",
                               comparison->faults);
}

static uint64_t check_since(uint64_t start, uint64_t instant) {
        return instant > start ? instant - start : 0;
}

static void check_exchange(int fd, int interrupt, const ClientOptions *options, Report *report) {
        static CheckSink sink;
        const uint64_t start = clock_now();
        CheckSource source = { .total = options->check_size,
                               .pace = { .start = start, .rate = options->bandwidth } };
        CheckProgress progress = {};
        Sender sender;
        Receiver receiver = {
                .fd = fd,
                .sender = &sender,
                .sink = { .take = check_take, .userdata = &sink },
                .timeout = options->timeout,
                .interrupt = interrupt,
                .tick = check_tick,
                .tick_userdata = &progress,
        };
        Interim count;
        int r;

        progress.receiver = &receiver;
        interims_init(&progress.interims, options, start);
        progress_init(&progress.progress, client_options_want_progress(options));
        pattern_init(&source.pattern);
        sink.progress = &progress.progress;
        sink.pattern = &source.pattern;
        sink.foreign = report->foreign;
        sink.silent = options->quiet || options->json;
        comparison_init(&sink.comparison, &source.pattern, options->check_size);
        r = sender_start(&sender, fd, &(Source){ .fill = check_fill, .userdata = &source });
        if (r < 0) {
                failure_set_kind(&report->failure, FAILURE_LOCAL, 0,
                                 "Cannot start the sending process: %s", strerror(-r));
                return;
        }
        inquiry_set(check_answer, &progress);
        r = receiver_run(&receiver);
        inquiry_set(NULL, NULL);
        report->elapsed = clock_now() - start;
        sender_stop(&sender);
        progress_clear(&progress.progress);
        comparison_end(&sink.comparison, r == RECEIVER_END && sender.end == SENDER_FINISHED);
        if (sink.comparison.faults > 1)
                check_tell(&sink);
        count = check_count(&progress);
        interims_end(&progress.interims, &count);
        report->bytes_sent = sender_bytes(&sender);
        report->bytes_received = receiver.bytes;
        report->send_time = check_since(start, sender_last_sent(&sender));
        report->receive_time = check_since(start, receiver.last_received);
        check_judge_connection(&receiver, r, options, &report->failure);
        check_judge_stream(&sink.comparison, report);
        if (report->foreign[0] != '\0')
                failure_set_kind(&report->failure, FAILURE_DIFFERS, 0, "%s", report->foreign);
        sender_deinit(&sender);
}

void check_run(const ClientOptions *options, Report *report) {
        int fd;

        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        check_exchange(fd, options->connection.interrupt, options, report);
        kernel_note(&report->kernel, fd);
        close(fd);
}
