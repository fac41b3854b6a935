/* SPDX-License-Identifier: MIT */
#include "client/ping.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/connection.h"
#include "client/instant.h"
#include "client/interrupt.h"
#include "client/pattern.h"
#include "client/progress.h"
#include "client/quantity.h"
#include "client/trip.h"

#define PING_PROGRESS_INTERVAL (200 * INSTANT_MILLISECOND)

/* At the end of a connection it is waited for that of the peer for so long. */
#define PING_END_PATIENCE INSTANT_SECOND

typedef struct Ping {
        const ClientOptions *options;
        Report *report;
        ConnectionOptions connection;
        Endpoint peer;
        Pattern pattern;
        /* -1 between connections. */
        int fd;
        uint64_t sequence;
        uint64_t start;
        /* When the whole must end, and when the next round trip is due. */
        uint64_t end;
        uint64_t due;
        uint64_t next_progress;
        Progress progress;
        char *message;
        char *answer;
} Ping;

static void ping_disconnect(Ping *ping) {
        if (ping->fd >= 0)
                close(ping->fd);
        ping->fd = -1;
}

/* Neither its own timeout nor the deadline of the whole is exceeded by a connection. */
static int ping_connect(const Ping *ping, uint64_t start) {
        ConnectionOptions connection = ping->connection;

        if (ping->end != INSTANT_NEVER) {
                uint64_t left = ping->end > start ? ping->end - start : 1;

                if (connection.timeout == 0 || connection.timeout > left)
                        connection.timeout = left;
        }
        return connection_open_endpoint(&ping->peer, &connection);
}

/* One round trip, from @start on; makes the connection first where there is none. */
static int ping_try(Ping *ping, uint64_t start) {
        const ClientOptions *options = ping->options;
        uint64_t end = options->timeout == 0 ? INSTANT_NEVER : start + options->timeout;

        if (ping->fd < 0) {
                ping->fd = ping_connect(ping, start);
                if (ping->fd < 0)
                        return ping->fd;
        }
        pattern_fill(&ping->pattern, ping->sequence * options->size, ping->message, options->size);
        return trip_run(ping->fd, ping->message, ping->answer, options->size,
                        end < ping->end ? end : ping->end, ping->connection.interrupt);
}

/* Ends the connection behind an answer, and looks for what comes when nothing is owed. The
 * answer was there in time: how, and whether, the peer ends is no matter of the round trip. */
static int ping_end(const Ping *ping) {
        int r = trip_end(ping->fd, instant_now() + PING_END_PATIENCE, ping->connection.interrupt);

        return r == -EBADMSG ? r : 0;
}

static void ping_print(const Ping *ping, uint64_t time) {
        if (!client_options_want_lines(ping->options))
                return;
        printf("%" PRIu64 " bytes from %s: seq=%" PRIu64 " time=%.3f ms\n", ping->options->size,
               ping->report->peer, ping->sequence, (double)time / INSTANT_MILLISECOND);
        fflush(stdout);
}

static void ping_print_error(const Ping *ping, int error) {
        char seconds[QUANTITY_TEXT_SIZE], text[64];

        if (!client_options_want_lines(ping->options))
                return;
        if (error == ETIME)
                snprintf(text, sizeof text, "no answer within %s s",
                         quantity_format_time(ping->options->timeout, seconds));
        else if (error == EPIPE)
                snprintf(text, sizeof text, "the connection was closed");
        else if (error == EBADMSG)
                snprintf(text, sizeof text, "the answer differs from what was sent");
        else
                snprintf(text, sizeof text, "%s", strerror(error));
        printf("from %s: seq=%" PRIu64 " error: %s\n", ping->report->peer, ping->sequence, text);
        fflush(stdout);
}

/* Returns whether to go on. */
static bool ping_once(Ping *ping, uint64_t start) {
        Report *report = ping->report;
        uint64_t now;
        bool last;
        int r;

        ping->sequence++;
        r = ping_try(ping, start);
        now = instant_now();
        last = ping->options->connect || ping->sequence == ping->options->count;
        if (r == 0 && last)
                r = ping_end(ping);
        if (last || r < 0)
                ping_disconnect(ping);
        /* What was under way at the end was neither answered nor lost. */
        if (r == -EINTR || (r < 0 && now >= ping->end))
                return false;
        report->attempts++;
        if (r < 0) {
                report->errors[failure_kind_from_errno(-r)]++;
                ping_print_error(ping, -r);
                return true;
        }
        report->bytes_sent += ping->options->size;
        report->bytes_received += ping->options->size;
        histogram_record(&report->latency, now - start);
        ping_print(ping, now - start);
        return true;
}

/* Waits until the next round trip is due; returns whether to go on. */
static bool ping_wait(const Ping *ping) {
        struct pollfd polled = { .fd = ping->connection.interrupt, .events = POLLIN };
        uint64_t now = instant_now();

        while (now < ping->due && now < ping->end) {
                uint64_t wake = ping->due < ping->end ? ping->due : ping->end;

                if (poll(&polled, 1, instant_timeout(now, wake)) > 0)
                        return false;
                now = instant_now();
        }
        return now < ping->end && !interrupt_is_due(ping->connection.interrupt);
}

static void ping_show_progress(Ping *ping) {
        const Report *report = ping->report;
        uint64_t now = instant_now();
        double elapsed = (double)(now - ping->start) / (double)INSTANT_SECOND;

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

/* The first round trip may have begun with its connection, at @start. */
static void ping_loop(Ping *ping, uint64_t start) {
        const ClientOptions *options = ping->options;

        if (!options->connect)
                start = instant_now();
        ping->due = start;
        while (ping_once(ping, start)) {
                if (options->count > 0 && ping->sequence == options->count)
                        return;
                ping_show_progress(ping);
                ping->due += options->interval;
                start = instant_now();
                if (ping->due < start)
                        ping->due = start;
                if (!ping_wait(ping))
                        return;
                start = instant_now();
        }
}

static void ping_judge(Report *report) {
        if (report->attempts == 0)
                failure_set(&report->failure, FAILURE_INTERRUPTED, 0,
                            "the end came before the first answer");
        for (int kind = 0; kind < FAILURE_KINDS; kind++)
                if (report->errors[kind] > 0) {
                        failure_set(&report->failure, (FailureKind)kind, 0,
                                    "%" PRIu64 " of %" PRIu64 " round trips failed",
                                    report->attempts - report->latency.count, report->attempts);
                        break;
                }
}

static void ping_measure(Ping *ping, uint64_t start) {
        const ClientOptions *options = ping->options;

        if (client_options_want_lines(options)) {
                printf("mpecho-client: %" PRIu64 " bytes to %s (%s)%s\n", options->size,
                       options->target.host, ping->report->peer,
                       options->connect ? ", each on a new connection" : "");
                fflush(stdout);
        }
        progress_init(&ping->progress,
                      client_options_want_progress(options) && !client_options_want_lines(options));
        pattern_init(&ping->pattern);
        ping->start = start;
        ping->end = options->deadline == 0 ? INSTANT_NEVER : start + options->deadline;
        ping_loop(ping, start);
        ping->report->elapsed = instant_now() - start;
        progress_clear(&ping->progress);
        ping_disconnect(ping);
        ping_judge(ping->report);
}

void ping_run(const ClientOptions *options, Report *report) {
        Ping ping = { .options = options,
                      .report = report,
                      .connection = options->connection,
                      .message = malloc(options->size),
                      .answer = malloc(options->size) };
        uint64_t start;

        if (ping.message == NULL || ping.answer == NULL) {
                failure_set(&report->failure, FAILURE_LOCAL, 0,
                            "no memory for messages of %" PRIu64 " bytes", options->size);
        } else {
                ping.fd = connection_open(&options->target, &ping.connection, &start,
                                          &report->failure);
                if (ping.fd >= 0) {
                        report_set_peer(report, ping.fd);
                        (void)connection_get_peer(ping.fd, &ping.peer);
                        ping.connection.interrupt = interrupt_open();
                        ping_measure(&ping, start);
                        close(ping.connection.interrupt);
                }
        }
        free(ping.message);
        free(ping.answer);
}
