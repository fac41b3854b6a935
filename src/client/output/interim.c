/* SPDX-License-Identifier: MIT */
/*
 * Prints reports during a run: the counts of a load or a check in each interval, and the answer to
 * an inquiry, which is one interval from the start to now.
 *
 * A report is the difference of two counts, so nothing is reset, and the reports of a run add up to
 * its results. Intervals end at multiples of their length after the start. A late report covers a
 * longer interval and names it, and the next one is on time; the last one may be shorter.
 *
 * Text has one line for each report. With --json each report is an object on a line of its own
 * ("JSON lines") with the single member "interval": it must not look like the object of the whole
 * run.
 */
#include "client/output/interim.h"

#include <inttypes.h>

#include "client/output/json.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

double interim_rate(uint64_t count, uint64_t time) {
        return time == 0 ? 0 : (double)count / clock_seconds(time);
}

void interim_settle(Interim *count) {
        if (count->bytes_received > count->bytes_sent)
                count->bytes_received = count->bytes_sent;
}

static bool interim_has_answers(const ClientOptions *options) {
        return options->action == CLIENT_PING ||
               (options->action == CLIENT_LOAD && options->load != LOAD_STREAMS);
}

/* Errors can become fewer: a late answer revokes an ICMP error. */
static Interim interim_subtract(const Interim *to, const Interim *from) {
        return (Interim){ .elapsed = to->elapsed - from->elapsed,
                          .answered = to->answered - from->answered,
                          .bytes_sent = to->bytes_sent - from->bytes_sent,
                          .bytes_received = to->bytes_received - from->bytes_received,
                          .errors = to->errors > from->errors ? to->errors - from->errors : 0 };
}

void interim_print(FILE *file, const Interim *from, const Interim *to,
                   const ClientOptions *options) {
        const Interim part = interim_subtract(to, from);
        const char *fault = options->action == CLIENT_CHECK ? "fault" : "error";
        char there[QUANTITY_TEXT_SIZE], back[QUANTITY_TEXT_SIZE];

        fprintf(file, "%.1f-%.1f s: ", clock_seconds(from->elapsed), clock_seconds(to->elapsed));
        if (interim_has_answers(options))
                fprintf(file, "%" PRIu64 " answered, %.1f/s, ", part.answered,
                        interim_rate(part.answered, part.elapsed));
        else
                fprintf(file, "%" PRIu64 " byte%s sent, %" PRIu64 " came back, ", part.bytes_sent,
                        quantity_plural(part.bytes_sent), part.bytes_received);
        fprintf(file, "%s/s there, %s/s back, %" PRIu64 " %s%s\n",
                quantity_format_bytes(interim_rate(part.bytes_sent, part.elapsed), there),
                quantity_format_bytes(interim_rate(part.bytes_received, part.elapsed), back),
                part.errors, fault, quantity_plural(part.errors));
        fflush(file);
}

static void interim_print_json(FILE *file, const Interim *from, const Interim *to,
                               const ClientOptions *options) {
        const Interim part = interim_subtract(to, from);
        Json json = { .file = file };

        json_open(&json, NULL);
        json_open(&json, "interval");
        json_number(&json, "from", clock_seconds(from->elapsed));
        json_number(&json, "to", clock_seconds(to->elapsed));
        if (interim_has_answers(options)) {
                json_integer(&json, "answered", part.answered);
                json_number(&json, "rate", interim_rate(part.answered, part.elapsed));
        }
        json_integer(&json, "bytes_sent", part.bytes_sent);
        json_integer(&json, "bytes_received", part.bytes_received);
        json_number(&json, "send_rate", interim_rate(part.bytes_sent, part.elapsed));
        json_number(&json, "receive_rate", interim_rate(part.bytes_received, part.elapsed));
        json_integer(&json, "errors", part.errors);
        json_close(&json);
        json_close(&json);
        putc('\n', file);
        fflush(file);
}

void interims_init(Interims *ret_interims, const ClientOptions *options, uint64_t start) {
        bool wanted = client_options_want_interims(options);

        *ret_interims = (Interims){ .options = options,
                                    .start = start,
                                    .next = wanted ? start + options->interval : CLOCK_NEVER };
}

void interims_report(Interims *interims, const Interim *now) {
        const ClientOptions *options = interims->options;
        const uint64_t reported = interims->last.errors;

        if (options->json)
                interim_print_json(stdout, &interims->last, now, options);
        else
                interim_print(stdout, &interims->last, now, options);
        interims->last = *now;
        if (reported > now->errors)
                interims->last.errors = reported;
        interims->next = interims->start +
                         (now->elapsed / options->interval + 1) * options->interval;
}

void interims_end(Interims *interims, const Interim *now) {
        const Interim part = interim_subtract(now, &interims->last);

        if (interims->next != CLOCK_NEVER && (part.answered > 0 || part.bytes_sent > 0 ||
                                              part.bytes_received > 0 || part.errors > 0))
                interims_report(interims, now);
}
