/* SPDX-License-Identifier: MIT */
/*
 * Makes round trips one after the other.
 *
 * The first one looks up the name and connects. One that fails closes the connection; the next one
 * connects again, to the address that answered before. No time includes the setup of a connection,
 * except with --connect. A service that is down is no reason to give up; a name without an address
 * is.
 *
 * Each begun round trip must be counted, as answered or as lost with its reason, however the run
 * ends. A run may end between two round trips: a surplus behind its last answer fails the run, and
 * none of them.
 */
#include "client/run/ping.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/content/pattern.h"
#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/output/progress.h"
#include "client/output/round_trip.h"
#include "client/output/verdict.h"
#include "client/run/trip.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

#define PING_PROGRESS_INTERVAL (200 * CLOCK_MILLISECOND)
/* The longest wait for the peer's end after the last answer. */
#define PING_END_PATIENCE CLOCK_SECOND

typedef struct Ping {
        const ClientOptions *options;
        Report *report;
        ConnectionOptions connection;
        Pattern pattern;
        /* -1 between connections. */
        int fd;
        /* An address has answered. */
        bool known;
        uint64_t sequence;
        uint64_t start;
        /* The end of the run, and the instant of the next round trip. */
        uint64_t end;
        uint64_t due;
        /* The instant at which the round trip under way is late. */
        uint64_t deadline;
        /* A signal ended the run. */
        bool interrupted;
        uint64_t next_progress;
        Progress progress;
        char *message;
        char *answer;
} Ping;

static void ping_disconnect(Ping *ping) {
        if (ping->fd < 0)
                return;
        kernel_note(&ping->report->kernel, ping->fd);
        close(ping->fd);
        ping->fd = -1;
}

/* Connects, and sets @ret_start to the instant at which the address that answered was asked. */
static int ping_connect(Ping *ping, uint64_t *ret_start, Failure *failure) {
        Path *path = &ping->report->path;
        int r;

        *ret_start = clock_now();
        if (ping->known) {
                ping->fd = connection_open(&path->endpoint, &ping->connection);
                r = ping->fd < 0 ? 0 : proxy_header_send(&ping->connection.proxy_header, ping->fd);
                if (r < 0) {
                        close(ping->fd);
                        ping->fd = r;
                }
                if (ping->fd < 0)
                        failure_set_kind(failure, failure_kind_from_errno(-ping->fd), 0, "%s",
                                         ping->fd == -ETIME ? "no connection in time"
                                                            : strerror(-ping->fd));
        } else {
                ping->fd = path_open(&ping->options->target, &ping->connection, path, failure);
                ping->known = ping->fd >= 0;
                if (ping->known)
                        *ret_start = path->start;
        }
        return ping->fd < 0 ? ping->fd : 0;
}

/* Half-closes the connection after an answer, and reads any surplus. The answer came in time: the
 * peer's end does not affect the round trip. */
static int ping_end(const Ping *ping) {
        const uint64_t end = clock_earlier(clock_now() + PING_END_PATIENCE, ping->end);
        int r = trip_end(ping->fd, end, ping->connection.interrupt);

        return r == -EBADMSG ? r : 0;
}

/* Describes wrong bytes. A service that has answered correctly once is an echo service. */
static void ping_describe_wrong(const Ping *ping, const Trip *trip, Failure *failure) {
        Report *report = ping->report;

        if (report->latency.count == 0 &&
            foreign_describe(trip->answer, trip->message, trip->received, report->foreign))
                snprintf(failure->text, sizeof failure->text, "%s", report->foreign);
        else if (trip->sent == 0)
                snprintf(failure->text, sizeof failure->text,
                         "bytes came before the message was sent");
        else
                snprintf(failure->text, sizeof failure->text,
                         "the answer differs from what was sent");
}

static void ping_describe(const Ping *ping, const Trip *trip, int error, Failure *failure) {
        char seconds[QUANTITY_TEXT_SIZE];

        failure->kind = failure_kind_from_errno(error);
        if (error == ETIME)
                snprintf(failure->text, sizeof failure->text, "no answer within %s s",
                         quantity_format_time(ping->options->timeout, seconds));
        else if (error == EPIPE)
                snprintf(failure->text, sizeof failure->text, "the connection was closed");
        else if (error == EBADMSG)
                ping_describe_wrong(ping, trip, failure);
        else
                snprintf(failure->text, sizeof failure->text, "%s", strerror(error));
}

static void ping_count_answer(Phases *phases, uint64_t connected, uint64_t first, uint64_t last) {
        phases->answers++;
        phases->first += first - connected;
        phases->last += last - first;
}

/* Makes one round trip; connects first without a connection. Sets @ret_time. */
static int ping_try(Ping *ping, uint64_t *ret_time, Failure *failure) {
        const ClientOptions *options = ping->options;
        uint64_t start = 0, connected, last;
        Trip trip = { .message = ping->message, .answer = ping->answer, .size = options->size };
        int r;

        pattern_fill(&ping->pattern, ping->sequence * options->size, ping->message, options->size);
        if (ping->fd < 0) {
                r = ping_connect(ping, &start, failure);
                if (r < 0)
                        return r;
                ping->report->phases.connections++;
                ping->report->phases.connect += clock_now() - start;
        }
        connected = clock_now();
        if (!options->connect)
                start = connected;
        if (options->timeout != 0)
                ping->deadline = start + options->timeout;
        trip.fd = ping->fd;
        r = trip_run(&trip, clock_earlier(ping->deadline, ping->end), ping->connection.interrupt);
        last = clock_now();
        if (r == 0)
                last = kernel_arrival(ping->fd, connected, last);
        *ret_time = last - start;
        ping->report->bytes_sent += trip.sent;
        ping->report->bytes_received += trip.received;
        if (r == 0)
                ping_count_answer(&ping->report->phases, connected, clock_earlier(trip.first, last),
                                  last);
        else
                ping_describe(ping, &trip, -r, failure);
        return r;
}

/* Returns whether to go on, by whether standard output took a line. */
static bool ping_go_on(Ping *ping, bool printed) {
        if (!printed)
                ping->interrupted = interrupt_is_due(ping->connection.interrupt);
        return printed;
}

/* Counts the round trip as lost because of @error. Returns whether to go on. */
static bool ping_lose(Ping *ping, int error, const Failure *failure) {
        const bool ended =
                        error == ETIME && clock_now() >= ping->end && ping->deadline >= ping->end;
        Report *report = ping->report;

        if (error == EINTR || ended) {
                /* Its answer might have come. */
                report->errors[FAILURE_INTERRUPTED]++;
                ping->interrupted = error == EINTR;
                return false;
        }
        report->errors[failure->kind]++;
        if (!ping->known)
                report->failure = *failure;
        return ping_go_on(ping, round_trip_print_error(ping->options, report, ping->sequence,
                                                       failure->text));
}

/* Returns whether to go on. */
static bool ping_once(Ping *ping) {
        Report *report = ping->report;
        Failure failure = {};
        uint64_t time = 0;
        bool last;
        int r;

        ping->sequence++;
        ping->deadline = CLOCK_NEVER;
        r = ping_try(ping, &time, &failure);
        last = ping->options->connect || ping->sequence == ping->options->count;
        if (r == 0 && last) {
                r = ping_end(ping);
                if (r < 0)
                        failure_set_kind(&failure, FAILURE_DIFFERS, r,
                                         "bytes came behind the answer");
        }
        if (last || r < 0)
                ping_disconnect(ping);
        if (failure.kind == FAILURE_RESOLVE && !ping->known) {
                report->failure = failure;
                return false;
        }
        report->attempts++;
        if (r < 0)
                return ping_lose(ping, -r, &failure);
        histogram_record(&report->latency, time);
        return ping_go_on(ping, round_trip_print(ping->options, report, ping->sequence, time, ""));
}

/* Waits until the next round trip is due; returns whether to go on. */
static bool ping_wait(Ping *ping) {
        struct pollfd polled = { .fd = ping->connection.interrupt, .events = POLLIN };
        uint64_t now = clock_now();

        while (now < ping->due && now < ping->end) {
                uint64_t wake = ping->due < ping->end ? ping->due : ping->end;

                if (inquiry_poll(&polled, 1, wake) > 0)
                        break;
                now = clock_now();
        }
        ping->interrupted = interrupt_is_due(ping->connection.interrupt);
        return now < ping->end && !ping->interrupted;
}

static void ping_answer(void *userdata) {
        Ping *ping = userdata;
        const Report *report = ping->report;
        const uint64_t failed = report->attempts - report->latency.count;
        const Interim count = report_count(report, ping->start, failed);

        report_print_state(&count, &report->latency, ping->options, &ping->progress);
}

static void ping_show_progress(Ping *ping) {
        const Report *report = ping->report;
        uint64_t now = clock_now();
        double elapsed = clock_seconds(now - ping->start);

        if (client_options_want_lines(ping->options) || now < ping->next_progress)
                return;
        ping->next_progress = now + PING_PROGRESS_INTERVAL;
        if (ping->options->count > 0)
                progress_show(&ping->progress, "%.1f s  %" PRIu64 " of %" PRIu64 "  %.0f/s",
                              elapsed, report->attempts, ping->options->count,
                              (double)report->attempts / elapsed);
        else
                progress_show(&ping->progress, "%.1f s  %" PRIu64 "  %.0f/s", elapsed,
                              report->attempts, (double)report->attempts / elapsed);
}

static void ping_loop(Ping *ping) {
        const ClientOptions *options = ping->options;

        ping->due = ping->start;
        while (ping_once(ping)) {
                uint64_t now = clock_now();

                if (options->count > 0 && ping->sequence == options->count)
                        return;
                ping_show_progress(ping);
                ping->due += options->interval;
                if (ping->due < now)
                        ping->due = now;
                if (!ping_wait(ping))
                        return;
        }
}

static void ping_measure(Ping *ping) {
        const ClientOptions *options = ping->options;
        char target[TARGET_TEXT_SIZE];
        bool surplus;

        if (client_options_want_lines(options)) {
                target_format(&options->target, target);
                printf("mpecho-client: %" PRIu64 " byte%s to %s%s\n", options->size,
                       quantity_plural(options->size), target,
                       options->connect ? ", each on a new connection" : "");
                fflush(stdout);
        }
        progress_init(&ping->progress,
                      client_options_want_progress(options) && !client_options_want_lines(options));
        pattern_init(&ping->pattern);
        ping->start = clock_now();
        ping->end = options->duration == 0 ? CLOCK_NEVER : ping->start + options->duration;
        ping->connection.end = options->duration == 0 ? 0 : ping->end;
        inquiry_set(ping_answer, ping);
        ping_loop(ping);
        inquiry_set(NULL, NULL);
        ping->report->elapsed = clock_now() - ping->start;
        progress_clear(&ping->progress);
        surplus = ping->fd >= 0 && ping_end(ping) < 0;
        ping_disconnect(ping);
        /* The message of a first attempt that failed is more helpful than numbers. */
        if (ping->known || ping->interrupted || ping->report->failure.kind == FAILURE_NONE)
                verdict_set_round_trips(ping->report, options->count, ping->interrupted);
        if (surplus && ping->report->failure.kind == FAILURE_NONE)
                failure_set_kind(&ping->report->failure, FAILURE_DIFFERS, 0,
                                 "bytes came behind the last answer");
}

void ping_run(const ClientOptions *options, Report *report) {
        Ping ping = { .options = options,
                      .report = report,
                      .connection = options->connection,
                      .fd = -1,
                      .message = malloc(options->size),
                      .answer = malloc(options->size) };

        if (ping.message == NULL || ping.answer == NULL)
                failure_set(&report->failure, 0,
                            "Cannot allocate memory for messages of %" PRIu64 " byte%s",
                            options->size, quantity_plural(options->size));
        else
                ping_measure(&ping);
        free(ping.message);
        free(ping.answer);
}
