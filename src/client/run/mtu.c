/* SPDX-License-Identifier: MIT */
/*
 * Searches for the largest datagram that passes a path in both directions.
 *
 * All packets have the bit "don't fragment". The search halves the range between a size that passed
 * and one that did not; the smallest size is that of the family's smallest packet, and the MTU of
 * the interface ends the range. The search repeats the size that ends it once more, since one size
 * that all repetitions lost would end it too low. A path that often loses all repetitions has no
 * largest size: the search ends after a few such surprises.
 *
 * A router that drops a packet should send an ICMP error with the MTU that fits. The search tries
 * that size, and the next larger one, first, and believes none of it (probe.c).
 *
 * Where all repetitions fail and one of them was rejected, the search repeats the size that passed
 * last. If that fails as well, the service is gone, and the error is the result. Otherwise the size
 * is to blame: a firewall can reject by size.
 *
 * A path that drops larger packets without an error is a black hole: TCP stalls there. That is a
 * failure, although the search found the size. So is an unrecognized answer. One that came
 * back changed is the result before any other failure, even if a repetition passed. An error counts
 * only for the size that did not pass, or with the MTU that was found: another router may have
 * announced another MTU before the hole.
 */
#include "client/run/mtu.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "client/output/progress.h"
#include "client/output/verdict.h"
#include "client/run/probe.h"
#include "client/value/quantity.h"
#include "lib/clock.h"

enum {
        MTU_REMEMBERED = 1 << 10,
        /* The search goes on this often after a size that passes only at the second try. */
        MTU_SURPRISES = 3,
        /* The smallest packets that each link carries (RFC 791, RFC 8200). */
        MTU_LEAST = 68,
        MTU_LEAST6 = 1280,
        MTU_HEADERS = 20 + 8,
        MTU_HEADERS6 = 40 + 8,
        MTU_MOST = 65507,
};

typedef struct Mtu {
        const ClientOptions *options;
        Report *report;
        Probe probe;
        /* The sizes of the last datagram that passed, and of the largest that may. */
        size_t low;
        size_t high;
        /* Of the smallest size that did not pass. */
        ProbeReason end;
        uint64_t start;
        Progress progress;
} Mtu;

static int mtu_fail_changed(const Mtu *mtu) {
        if (mtu->probe.changed > mtu->low)
                return failure_set_kind(&mtu->report->failure, FAILURE_DIFFERS, -ETIME,
                                        "larger datagrams come back changed");
        return failure_set_kind(&mtu->report->failure, FAILURE_DIFFERS, -ETIME,
                                "an answer to %zu bytes came back changed", mtu->probe.changed);
}

/* Names the size that passed until the interrupt, unless answers came back changed. */
static void mtu_interrupt(const Mtu *mtu) {
        Failure *failure = &mtu->report->failure;

        if (mtu->probe.changed != SIZE_MAX)
                (void)mtu_fail_changed(mtu);
        else if (mtu->probe.shortest == 0)
                failure_set_kind(failure, FAILURE_INTERRUPTED, -EINTR,
                                 "the search ended early, before a datagram passed");
        else
                failure_set_kind(failure, FAILURE_INTERRUPTED, -EINTR,
                                 "the search ended early, %zu bytes passed", mtu->low);
}

static int mtu_probe(Mtu *mtu, size_t size) {
        int r;

        progress_show(&mtu->progress, "%zu to %zu bytes: %zu", mtu->low, mtu->high, size);
        r = probe_make(&mtu->probe, size);
        if (r == -EINTR)
                mtu_interrupt(mtu);
        return r;
}

static int mtu_fail(const Mtu *mtu, const Rejection *rejection) {
        if (mtu->probe.changed != SIZE_MAX)
                return mtu_fail_changed(mtu);
        return failure_set_kind(&mtu->report->failure, rejection_kind(rejection), -rejection->error,
                                "%s", rejection->text);
}

static size_t mtu_next(Mtu *mtu) {
        const size_t hint = mtu->probe.hint;

        if (hint > mtu->low && hint <= mtu->high)
                return hint;
        /* The hint passed: the next larger size should not. */
        if (hint != 0 && hint == mtu->low) {
                mtu->probe.hint = 0;
                return mtu->low + 1;
        }
        return mtu->low + (mtu->high - mtu->low + 1) / 2;
}

/* Probes @size, which is within the two bounds, and moves one of them. */
static int mtu_try(Mtu *mtu, size_t size) {
        const int r = mtu_probe(mtu, size);
        const ProbeReason reason = mtu->probe.reason;
        int again;

        if (r == PROBE_PASSED)
                mtu->low = size;
        if (r == PROBE_PASSED || r < 0)
                return r;

        if (reason.rejection.error != 0) {
                again = mtu_probe(mtu, mtu->low);
                if (again != PROBE_PASSED)
                        return again < 0 ? again : mtu_fail(mtu, &reason.rejection);
        }
        mtu->high = size - 1;
        mtu->end = reason;
        return r;
}

/* Finds the interface's MTU by a datagram that exceeds it, unless it passes. */
static int mtu_bound(Mtu *mtu) {
        int r = mtu_try(mtu, mtu->high);

        /* The queue of errors has the MTU. */
        probe_catch_up(&mtu->probe);
        if (mtu->probe.flow.mtu > mtu->probe.headers &&
            mtu->probe.flow.mtu - mtu->probe.headers < mtu->high)
                mtu->high = mtu->probe.flow.mtu - mtu->probe.headers;
        return r;
}

static int mtu_fail_irregular(const Mtu *mtu) {
        if (mtu->probe.changed != SIZE_MAX)
                return mtu_fail_changed(mtu);
        return failure_set_kind(&mtu->report->failure, FAILURE_MISSING, -ETIME,
                                "the path answers irregularly: %zu bytes and other sizes passed "
                                "only after %d losses",
                                mtu->low, PROBE_ATTEMPTS);
}

/* Halves the range until nothing is between the bounds. */
static int mtu_narrow(Mtu *mtu) {
        const size_t most = mtu->high;
        int surprises = 0, r = PROBE_PASSED;

        while (r >= 0 && mtu->low < mtu->high) {
                r = mtu_try(mtu, mtu_next(mtu));
                if (r < 0 || mtu->low < mtu->high || mtu->low == most || mtu->end.announced)
                        continue;
                /* Nothing explains the end: all repetitions may have been lost by chance. */
                r = mtu_try(mtu, mtu->low + 1);
                if (r != PROBE_PASSED)
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
        if (r == PROBE_LOST || r == PROBE_REFUSED) {
                const bool silent = r == PROBE_LOST && !mtu->probe.reason.changed;

                if (mtu->probe.reason.rejection.error != 0)
                        return mtu_fail(mtu, &mtu->probe.reason.rejection);
                return failure_set_kind(&mtu->report->failure,
                                        silent ? FAILURE_TIMEOUT : FAILURE_DIFFERS, -ETIME,
                                        silent ? "no answer to %zu bytes"
                                               : "no intact answer to %zu bytes",
                                        mtu->low);
        }
        /* The first round trip may have waited for addresses of the link, the second one does not.
         */
        if (r == PROBE_PASSED)
                r = mtu_probe(mtu, mtu->low);
        if (r >= 0)
                r = mtu_bound(mtu);
        return r >= 0 ? mtu_narrow(mtu) : r;
}

static void mtu_judge(const Mtu *mtu) {
        Report *report = mtu->report;
        const size_t packet = mtu->low + mtu->probe.headers;

        report->mtu = (ReportMtu){ .payload = mtu->low,
                                   .packet = packet,
                                   .interface = mtu->probe.flow.mtu };
        if (mtu->probe.changed != SIZE_MAX) {
                (void)mtu_fail_changed(mtu);
                return;
        }
        if (mtu->low == MTU_MOST || packet == mtu->probe.flow.mtu || packet == mtu->probe.named ||
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

static void mtu_answer(void *userdata) {
        Mtu *mtu = userdata;
        const uint64_t sent = mtu->probe.flow.volley.counts.sent;

        progress_clear(&mtu->progress);
        fprintf(stderr, "0.0-%.1f s: %" PRIu64 " datagram%s, %zu to %zu bytes\n",
                clock_seconds(clock_now() - mtu->start), sent, quantity_plural(sent), mtu->low,
                mtu->high);
}

static void mtu_measure(Mtu *mtu) {
        const bool ipv6 = mtu_is_ipv6(&mtu->report->path.endpoint);
        Report *report = mtu->report;
        int r;

        mtu->probe.headers = ipv6 ? MTU_HEADERS6 : MTU_HEADERS;
        mtu->low = (ipv6 ? MTU_LEAST6 : MTU_LEAST) - mtu->probe.headers;
        mtu->high = MTU_MOST;
        progress_init(&mtu->progress, client_options_want_progress(mtu->options));
        mtu->start = clock_now();
        inquiry_set(mtu_answer, mtu);
        r = mtu_search(mtu);
        inquiry_set(NULL, NULL);
        progress_clear(&mtu->progress);
        if (r >= 0)
                mtu_judge(mtu);
        else if (report->failure.kind == FAILURE_NONE)
                failure_set(&report->failure, r, "Cannot wait for answers: %s", strerror(-r));
        report->elapsed = clock_now() - mtu->start;
        report->rejections = mtu->probe.flow.rejections;
        /* This machine's own refusal is no news. */
        for (size_t i = 0; i < REJECTIONS_MAXIMUM; i++)
                if (report->rejections.list[i].local)
                        report->rejections.counts[i] = 0;
        report->counts = mtu->probe.flow.volley.counts;
        report->attempts = report->counts.sent;
        (void)verdict_set_unrecognized(report);
}

void mtu_run(const ClientOptions *options, Report *report) {
        static Payload payload;
        uint16_t sizes[MTU_REMEMBERED];
        Mtu mtu = { .options = options,
                    .report = report,
                    .probe = { .options = options, .report = report, .changed = SIZE_MAX } };
        int fd, r;

        fd = path_open(&options->target, &options->connection, &report->path, &report->failure);
        if (fd < 0)
                return;
        payload_init(&payload, PAYLOAD_TAG_SIZE);
        r = flow_init(&mtu.probe.flow, fd, &payload, 0, MTU_REMEMBERED, 0, false);
        if (r < 0) {
                failure_set(&report->failure, 0, "Cannot prepare the socket: %s", strerror(-r));
        } else {
                mtu.probe.flow.sizes = sizes;
                mtu_measure(&mtu);
                flow_deinit(&mtu.probe.flow);
        }
        close(fd);
}
