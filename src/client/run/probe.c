/* SPDX-License-Identifier: MIT */
/*
 * Finds out whether datagrams of one size pass a path in both directions.
 *
 * A size passes when its answer is intact and came in one packet. A lost datagram is repeated: a
 * busy path is not a narrow one. Repetitions follow each other soon, and only the last one waits
 * for the whole timeout, unless something explains the silence.
 *
 * An ICMP error explains it: a router finds the packet too large, or a service that restarts
 * rejects datagrams for a moment. Neither is a proof. Errors can be forged, and firewalls drop
 * them. Only an answer says that a size passes, and only its absence that it does not.
 *
 * An answer to an earlier size must never count for this one.
 */
#include "client/run/probe.h"

#include <errno.h>
#include <poll.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"

/* Repetitions follow each other by this time, or by four round trips if that is longer. */
#define PROBE_PAUSE (50 * CLOCK_MILLISECOND)

/* Takes an error about one of the probes from @first on, or an earlier one. Returns PROBE_LOST as
 * long as the probe may still pass. */
static int probe_take_rejection(Probe *probe, const FlowEvent *event, uint64_t first) {
        const Rejection *rejection = &event->rejection;

        if (rejection->error != EMSGSIZE) {
                if (event->number >= first)
                        probe->reason.rejection = *rejection;
                probe->rejected = event->number + 1;
                return PROBE_LOST;
        }
        if (rejection->local)
                return PROBE_REFUSED;
        probe->reason.announced |= rejection->mtu < probe->flow.payload->size + probe->headers;
        probe->named = rejection->mtu;
        if (rejection->mtu > probe->headers)
                probe->hint = rejection->mtu - probe->headers;
        return PROBE_LOST;
}

/* Takes an event. Returns PROBE_LOST as long as one of the probes from @first on may still pass. A
 * changed answer to an earlier one counts as well: it only comes late. */
static int probe_take(Probe *probe, const FlowEvent *event, uint64_t first) {
        if (event->kind == FLOW_ANSWER)
                probe->report->bytes_received += probe->flow.answer_size;
        if (event->kind == FLOW_REJECTED)
                return probe_take_rejection(probe, event, first);
        if (event->answer.verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(&probe->flow, probe->report->foreign);
        if (event->kind != FLOW_ANSWER || event->answer.verdict == VOLLEY_UNRECOGNIZED)
                return PROBE_LOST;
        if (event->answer.verdict == VOLLEY_CHANGED && event->size < probe->changed)
                probe->changed = event->size;
        if (event->number < first)
                return PROBE_LOST;
        probe->reason.announced |= event->fragments;
        probe->reason.changed |= event->answer.verdict == VOLLEY_CHANGED;
        if (event->fragments)
                return PROBE_REFUSED;
        if (event->answer.verdict != VOLLEY_ANSWERED)
                return PROBE_LOST;
        if (probe->shortest == 0 || event->answer.time < probe->shortest)
                probe->shortest = event->answer.time;
        return PROBE_PASSED;
}

/* Takes the events that came. Returns as probe_take() does. */
static int probe_take_all(Probe *probe, uint64_t first) {
        FlowEvent event;
        int r = PROBE_LOST;

        for (int i = 0; i < FLOW_BATCH && r == PROBE_LOST && flow_next(&probe->flow, &event); i++)
                r = probe_take(probe, &event, first);
        return r;
}

void probe_catch_up(Probe *probe) {
        (void)probe_take_all(probe, probe->flow.volley.counts.sent);
}

/* Returns the time to wait for an answer before the next repetition, or behind the @last one. That
 * is as long only if nothing explains the silence. */
static uint64_t probe_patience(const Probe *probe, bool last) {
        const uint64_t pause =
                        4 * probe->shortest > PROBE_PAUSE ? 4 * probe->shortest : PROBE_PAUSE;
        const bool explained = probe->reason.announced || probe->reason.changed ||
                               probe->rejected == probe->flow.volley.counts.sent;

        return last && !explained ? probe->options->timeout
                                  : clock_earlier(pause, probe->options->timeout);
}

/* Waits for the answer to one of the probes from @first on, with patience. */
static int probe_wait(Probe *probe, uint64_t first, bool last) {
        struct pollfd polled[] = { { .fd = probe->flow.fd, .events = POLLIN },
                                   { .fd = probe->options->connection.interrupt,
                                     .events = POLLIN } };
        const uint64_t start = clock_now();
        bool over = false, interrupted = false;
        uint64_t wake;
        int r;

        for (;;) {
                r = probe_take_all(probe, first);
                if (r != PROBE_LOST)
                        return r;
                if (over)
                        return interrupted ? -EINTR : PROBE_LOST;
                wake = start + probe_patience(probe, last);
                r = inquiry_poll(polled, 2, wake);
                if (r < 0)
                        return r;
                /* One more look: this process may have had no processor. */
                interrupted = polled[1].revents != 0;
                over = interrupted || clock_now() >= wake;
        }
}

static int probe_send(Probe *probe, uint64_t first) {
        FlowEvent event;

        /* A full send buffer is a lost probe. */
        if (flow_send(&probe->flow, clock_now(), &event) < 0)
                return PROBE_LOST;
        if (event.kind == FLOW_REJECTED)
                return probe_take_rejection(probe, &event, first);
        probe->report->bytes_sent += probe->flow.payload->size;
        return PROBE_LOST;
}

int probe_make(Probe *probe, size_t size) {
        const uint64_t first = probe->flow.volley.counts.sent;
        int r = PROBE_LOST;

        probe->reason = (ProbeReason){};
        probe->flow.payload->size = size;
        for (int i = 0; i < PROBE_ATTEMPTS && r == PROBE_LOST; i++) {
                r = probe_send(probe, first);
                if (r == PROBE_LOST)
                        r = probe_wait(probe, first, i == PROBE_ATTEMPTS - 1);
        }
        return r;
}
