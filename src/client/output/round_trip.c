/* SPDX-License-Identifier: MIT */
/*
 * Prints a line for each round trip of a ping, of a connection or of datagrams.
 *
 * Scripts take lines apart, as they do with those of ping(8): the time of day in brackets, "seq="
 * and "time=" are as there. A failed round trip has "error:" instead of a time.
 *
 * Each line goes out at once, so that a user who watches a path sees it.
 */
#include "client/output/round_trip.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client/network/interrupt.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

/* Begins a line; with the time of day in the form of ping(8). */
static void round_trip_print_time(const ClientOptions *options) {
        struct timespec now;

        if (!options->timestamps)
                return;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        printf("[%" PRId64 ".%06ld] ", (int64_t)now.tv_sec, now.tv_nsec / 1000);
}

/* Returns whether to print a line: after a signal nobody waits for a reader. */
static bool round_trip_is_read(void) {
        struct pollfd polled = { .fd = STDOUT_FILENO, .events = POLLOUT };

        return interrupt_instant() == CLOCK_NEVER || poll(&polled, 1, 0) > 0;
}

bool round_trip_print(const ClientOptions *options, const Report *report, uint64_t sequence,
                      uint64_t time, const char *note) {
        char text[QUANTITY_TEXT_SIZE];

        if (!client_options_want_lines(options))
                return true;
        if (!round_trip_is_read())
                return false;
        round_trip_print_time(options);
        printf("%" PRIu64 " byte%s from %s: seq=%" PRIu64 " time=%s%s\n", options->size,
               quantity_plural(options->size), report->path.peer, sequence,
               quantity_format_duration((double)time, text), note);
        return fflush(stdout) != EOF;
}

bool round_trip_print_error(const ClientOptions *options, const Report *report, uint64_t sequence,
                            const char *why) {
        const char *peer = report->path.peer;

        if (!client_options_want_lines(options))
                return true;
        if (!round_trip_is_read())
                return false;
        round_trip_print_time(options);
        printf("from %s: ", peer[0] == '\0' ? options->target.host : peer);
        if (sequence > 0)
                printf("seq=%" PRIu64 " ", sequence);
        printf("error: %s\n", why);
        return fflush(stdout) != EOF;
}
