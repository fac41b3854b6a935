/* SPDX-License-Identifier: MIT */
/*
 * Searches for the largest datagram that passes a path in both directions.
 *
 * All packets have the bit "don't fragment". The search halves the range between a size that passed
 * and one that did not; the smallest size is that of the family's smallest packet, and the MTU of
 * the interface ends the range. A size passes when its answer is intact and came in one packet. A
 * lost probe is repeated: a busy path is not a narrow one. The search repeats the size that ends it
 * once more, since one size that all repetitions lost would end it too low. A path that often loses
 * all repetitions has no largest size: the search ends after a few such surprises.
 *
 * A router that drops a packet should send an ICMP error with the MTU that fits. The search tries
 * that size, and the next larger one, first. It believes none of it: errors can be forged, and
 * firewalls drop them. Only answers say that a size passes, and only their absence that it does
 * not.
 *
 * Any other error is a lost probe at first: a service that restarts rejects datagrams for a moment.
 * Where all repetitions fail and one of them was rejected, the search repeats the size that passed
 * last. If that fails as well, the service is gone, and the error is the result. Otherwise the size
 * is to blame: a firewall can reject by size.
 *
 * A path that drops larger packets without an error is a black hole: TCP stalls there. That is a
 * failure, although the search found the size. So is an answer to none of the datagrams, and one
 * that came back changed, even if a repetition passed. An error counts only for the size that did
 * not pass, or with the MTU that was found: another router may have announced another MTU before
 * the hole.
 */
#include "client/run/mtu.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/network/flow.h"
#include "client/network/inquiry.h"
#include "client/output/progress.h"
#include "client/output/verdict.h"
#include "lib/clock.h"

enum {
        MTU_REMEMBERED = 1 << 10,
        MTU_ATTEMPTS = 4,
        /* The search goes on this often after a size that passes only at the second try. */
        MTU_SURPRISES = 3,
        /* The smallest packets that each link carries (RFC 791, RFC 8200). */
        MTU_LEAST = 68,
        MTU_LEAST6 = 1280,
        MTU_HEADERS = 20 + 8,
        MTU_HEADERS6 = 40 + 8,
        MTU_MOST = 65507,
};

/* Explains that a probe did not pass: an ICMP error about the size, or fragments; other bytes;
 * another error, which is 0 for none. */
typedef struct MtuReason {
        bool announced;
        bool changed;
        Rejection rejection;
} MtuReason;

/* Repetitions follow each other by this time, or by four round trips if that is longer. */
#define MTU_PAUSE (50 * CLOCK_MILLISECOND)

typedef struct Mtu {
        const ClientOptions *options;
        Report *report;
        Flow flow;
        size_t headers;
        /* The sizes of the last datagram that passed, and of the largest that may. */
        size_t low;
        size_t high;
        /* The largest size that fits by the last ICMP error; 0 for none. */
        size_t hint;
        /* The shortest round trip; 0 before the first. */
        uint64_t shortest;
        /* The MTU of the last ICMP error; 0 for none. */
        size_t named;
        /* Of the last probe, and of the smallest size that did not pass. */
        MtuReason reason;
        MtuReason end;
        /* The smallest size of which an answer came back changed; SIZE_MAX for none. */
        size_t changed;
        /* The number behind that of the datagram that was rejected last; 0 for none. */
        uint64_t rejected;
        Progress progress;
} Mtu;

/* The fate of a probe; other values are a negative errno. */
enum {
        MTU_LOST,
        MTU_PASSED,
        /* No repetition helps: this machine does not send it, or the answer came in fragments. */
        MTU_REFUSED,
};

static int mtu_fail(const Mtu *mtu, const Rejection *rejection) {
        failure_set_kind(&mtu->report->failure, rejection_kind(rejection), 0, "%s",
                         rejection->text);
        return -rejection->error;
}

/* Takes an error about one of the probes from @first on, or an earlier one. Returns MTU_LOST as
 * long as the probe may still pass. */
static int mtu_take_rejection(Mtu *mtu, const FlowEvent *event, uint64_t first) {
        const Rejection *rejection = &event->rejection;

        if (rejection->error != EMSGSIZE) {
                if (event->number >= first)
                        mtu->reason.rejection = *rejection;
                mtu->rejected = event->number + 1;
                return MTU_LOST;
        }
        if (rejection->local)
                return MTU_REFUSED;
        mtu->reason.announced |= rejection->mtu < mtu->flow.payload->size + mtu->headers;
        mtu->named = rejection->mtu;
        if (rejection->mtu > mtu->headers)
                mtu->hint = rejection->mtu - mtu->headers;
        return MTU_LOST;
}

/* Takes an event. Returns MTU_LOST as long as the last probe may still pass. */
static int mtu_take(Mtu *mtu, const FlowEvent *event, uint64_t first) {
        if (event->kind == FLOW_REJECTED)
                return mtu_take_rejection(mtu, event, first);
        if (event->answer.verdict == VOLLEY_UNRECOGNIZED)
                flow_recognize(&mtu->flow, mtu->report->foreign);
        if (event->kind != FLOW_ANSWER || event->number < first ||
            event->answer.verdict == VOLLEY_UNRECOGNIZED)
                return MTU_LOST;
        mtu->reason.announced |= event->fragments;
        if (event->answer.verdict == VOLLEY_CHANGED) {
                mtu->reason.changed = true;
                if (mtu->flow.payload->size < mtu->changed)
                        mtu->changed = mtu->flow.payload->size;
        }
        if (event->fragments)
                return MTU_REFUSED;
        if (event->answer.verdict != VOLLEY_ANSWERED)
                return MTU_LOST;
        if (mtu->shortest == 0 || event->answer.time < mtu->shortest)
                mtu->shortest = event->answer.time;
        mtu->report->bytes_received += mtu->flow.answer_size;
        return MTU_PASSED;
}

/* Returns the time to wait for an answer before the next repetition, or behind the @last one. That
 * is as long only if nothing explains the silence. */
static uint64_t mtu_patience(const Mtu *mtu, bool last) {
        const uint64_t pause = 4 * mtu->shortest > MTU_PAUSE ? 4 * mtu->shortest : MTU_PAUSE;
        const bool explained = mtu->reason.announced || mtu->reason.changed ||
                               mtu->rejected == mtu->flow.volley.counts.sent;

        return last && !explained ? mtu->options->timeout
                                  : clock_earlier(pause, mtu->options->timeout);
}

/* Waits for the answer to one of the probes from @first on, with patience. */
static int mtu_wait(Mtu *mtu, uint64_t first, bool last) {
        struct pollfd polled[] = { { .fd = mtu->flow.fd, .events = POLLIN },
                                   { .fd = mtu->options->connection.interrupt, .events = POLLIN } };
        const uint64_t start = clock_now();
        FlowEvent event;
        bool over = false;
        uint64_t wake;
        int r;

        for (;;) {
                for (int i = 0; i < FLOW_BATCH && flow_next(&mtu->flow, &event); i++) {
                        r = mtu_take(mtu, &event, first);
                        if (r != MTU_LOST)
                                return r;
                }
                if (over)
                        return MTU_LOST;
                wake = start + mtu_patience(mtu, last);
                r = inquiry_poll(polled, 2, wake);
                if (r < 0)
                        return r;
                if (r > 0 && polled[1].revents != 0)
                        return failure_set_kind(&mtu->report->failure, FAILURE_INTERRUPTED, -EINTR,
                                                "the search ended early, %zu bytes passed",
                                                mtu->low);
                /* One more look: this process may have had no processor. */
                over = clock_now() >= wake;
        }
}

static int mtu_send(Mtu *mtu, uint64_t first) {
        FlowEvent event;

        /* A full send buffer is a lost probe. */
        if (flow_send(&mtu->flow, clock_now(), &event) < 0)
                return MTU_LOST;
        if (event.kind == FLOW_REJECTED)
                return mtu_take_rejection(mtu, &event, first);
        mtu->report->bytes_sent += mtu->flow.payload->size;
        return MTU_LOST;
}

/* Sends datagrams of @size bytes until one passes. */
static int mtu_probe(Mtu *mtu, size_t size) {
        const uint64_t first = mtu->flow.volley.counts.sent;
        int r = MTU_LOST;

        mtu->reason = (MtuReason){};
        mtu->flow.payload->size = size;
        progress_show(&mtu->progress, "%zu to %zu bytes: %zu", mtu->low, mtu->high, size);
        for (int i = 0; i < MTU_ATTEMPTS && r == MTU_LOST; i++) {
                r = mtu_send(mtu, first);
                if (r == MTU_LOST)
                        r = mtu_wait(mtu, first, i == MTU_ATTEMPTS - 1);
        }
        return r;
}

/* Returns the size to try next, between the two bounds. */
static size_t mtu_next(Mtu *mtu) {
        const size_t hint = mtu->hint;

        if (hint > mtu->low && hint <= mtu->high)
                return hint;
        /* The hint passed: the next larger size should not. */
        if (hint != 0 && hint == mtu->low) {
                mtu->hint = 0;
                return mtu->low + 1;
        }
        return mtu->low + (mtu->high - mtu->low + 1) / 2;
}

/* Probes @size, which is within the two bounds, and moves one of them. */
static int mtu_try(Mtu *mtu, size_t size) {
        const int r = mtu_probe(mtu, size);
        const MtuReason reason = mtu->reason;
        int again;

        if (r == MTU_PASSED)
                mtu->low = size;
        if (r == MTU_PASSED || r < 0)
                return r;

        if (reason.rejection.error != 0) {
                again = mtu_probe(mtu, mtu->low);
                if (again != MTU_PASSED)
                        return again < 0 ? again : mtu_fail(mtu, &reason.rejection);
        }
        mtu->high = size - 1;
        mtu->end = reason;
        return r;
}

/* Finds the interface's MTU by a datagram that exceeds it, unless it passes. */
static int mtu_bound(Mtu *mtu) {
        int r = mtu_try(mtu, mtu->high);
        FlowEvent event;

        /* The queue of errors has the MTU. */
        for (int i = 0; i < FLOW_BATCH && flow_next(&mtu->flow, &event); i++)
                ;
        if (mtu->flow.mtu > mtu->headers && mtu->flow.mtu - mtu->headers < mtu->high)
                mtu->high = mtu->flow.mtu - mtu->headers;
        /* This machine's own refusal is no news. */
        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++)
                if (mtu->flow.rejections.list[i].local)
                        mtu->flow.rejections.counts[i] = 0;
        return r;
}

static int mtu_fail_changed(const Mtu *mtu) {
        if (mtu->changed > mtu->low)
                return failure_set_kind(&mtu->report->failure, FAILURE_DIFFERS, -ETIME,
                                        "larger datagrams come back changed");
        return failure_set_kind(&mtu->report->failure, FAILURE_DIFFERS, -ETIME,
                                "an answer to %zu bytes came back changed", mtu->changed);
}

static int mtu_fail_irregular(const Mtu *mtu) {
        if (mtu->changed <= mtu->low)
                return mtu_fail_changed(mtu);
        return failure_set_kind(&mtu->report->failure, FAILURE_MISSING, -ETIME,
                                "the path answers irregularly: %zu bytes and other sizes passed "
                                "only after %d losses",
                                mtu->low, MTU_ATTEMPTS);
}

/* Halves the range until nothing is between the bounds. */
static int mtu_narrow(Mtu *mtu) {
        const size_t most = mtu->high;
        int surprises = 0, r = MTU_PASSED;

        while (r >= 0 && mtu->low < mtu->high) {
                r = mtu_try(mtu, mtu_next(mtu));
                if (r < 0 || mtu->low < mtu->high || mtu->low == most || mtu->end.announced)
                        continue;
                /* Nothing explains the end: all repetitions may have been lost by chance. */
                r = mtu_try(mtu, mtu->low + 1);
                if (r != MTU_PASSED)
                        continue;
                if (surprises++ == MTU_SURPRISES)
                        return mtu_fail_irregular(mtu);
                mtu->high = most;
        }
        return r;
}

static int mtu_search(Mtu *mtu) {
        int r;

        r = mtu_probe(mtu, mtu->low);
        if (r == MTU_LOST || r == MTU_REFUSED) {
                const bool silent = r == MTU_LOST && !mtu->reason.changed;

                if (mtu->reason.rejection.error != 0)
                        return mtu_fail(mtu, &mtu->reason.rejection);
                return failure_set_kind(&mtu->report->failure,
                                        silent ? FAILURE_TIMEOUT : FAILURE_DIFFERS, -ETIME,
                                        silent ? "no answer to %zu bytes"
                                               : "no intact answer to %zu bytes",
                                        mtu->low);
        }
        /* The first round trip may have waited for addresses of the link, the second one does not.
         */
        if (r == MTU_PASSED)
                r = mtu_probe(mtu, mtu->low);
        if (r >= 0)
                r = mtu_bound(mtu);
        return r >= 0 ? mtu_narrow(mtu) : r;
}

static void mtu_judge(const Mtu *mtu) {
        Report *report = mtu->report;
        const size_t packet = mtu->low + mtu->headers;

        report->mtu = (ReportMtu){ .payload = mtu->low,
                                   .packet = packet,
                                   .interface = mtu->flow.mtu };
        if (mtu->changed != SIZE_MAX) {
                (void)mtu_fail_changed(mtu);
                return;
        }
        if (mtu->low == MTU_MOST || packet == mtu->flow.mtu || packet == mtu->named ||
            mtu->end.announced)
                return;
        if (mtu->end.rejection.error != 0)
                failure_set_kind(&report->failure, rejection_kind(&mtu->end.rejection), 0,
                                 "larger datagrams are rejected: %s", mtu->end.rejection.text);
        else
                failure_set_kind(&report->failure, FAILURE_MISSING, 0,
                                 "larger datagrams vanish without an ICMP error");
}

static bool mtu_is_ipv6(const Endpoint *endpoint) {
        return endpoint->any.sa_family == AF_INET6 &&
               !IN6_IS_ADDR_V4MAPPED(&endpoint->ipv6.sin6_addr);
}

static void mtu_measure(Mtu *mtu) {
        const bool ipv6 = mtu_is_ipv6(&mtu->report->path.endpoint);
        const uint64_t start = clock_now();
        Report *report = mtu->report;
        int r;

        mtu->headers = ipv6 ? MTU_HEADERS6 : MTU_HEADERS;
        mtu->low = (ipv6 ? MTU_LEAST6 : MTU_LEAST) - mtu->headers;
        mtu->high = MTU_MOST;
        progress_init(&mtu->progress, client_options_want_progress(mtu->options));
        r = mtu_search(mtu);
        progress_clear(&mtu->progress);
        if (r >= 0)
                mtu_judge(mtu);
        report->elapsed = clock_now() - start;
        report->rejections = mtu->flow.rejections;
        report->counts = mtu->flow.volley.counts;
        report->attempts = report->counts.sent;
        if (r != -EINTR)
                (void)verdict_set_strangers(report);
}

void mtu_run(const ClientOptions *options, Report *report) {
        static Payload payload;
        Mtu mtu = { .options = options, .report = report, .changed = SIZE_MAX };
        int fd, r;

        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        payload_init(&payload, PAYLOAD_TAG_SIZE);
        r = flow_init(&mtu.flow, fd, &payload, 0, MTU_REMEMBERED, 0, false);
        if (r < 0) {
                failure_set(&report->failure, 0, "Cannot prepare the socket: %s", strerror(-r));
        } else {
                mtu_measure(&mtu);
                flow_deinit(&mtu.flow);
        }
        close(fd);
}
