/* SPDX-License-Identifier: MIT */
/* Datagrams of one size: what each answer and error means, and how long a search waits for them. */

#include "client/run/probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "unit.h"

enum {
        SIZE = 1000,
        HEADERS = 28,
        /* The number of the first datagram of the size. */
        FIRST = 10,
        MOST = 8,
};

#define PAUSE (50 * CLOCK_MILLISECOND)

static Payload payload;
static Report report;
static ClientOptions options;
static Probe probe;
static uint64_t now;
/* What flow_next() finds next, and what flow_send() meets. */
static FlowEvent events[MOST];
static size_t n_events, n_taken;
static FlowEvent sending;
static bool full, recognized;
/* The length of each wait; after this many of them the interrupt comes. */
static uint64_t waits[MOST];
static size_t n_waits, interrupted_after;

/* These are in place of the C library's, and of flow.c and inquiry.c. */

int clock_gettime(clockid_t clock, struct timespec *time) {
        (void)clock;
        *time = (struct timespec){ .tv_sec = (time_t)(now / CLOCK_SECOND),
                                   .tv_nsec = (long)(now % CLOCK_SECOND) };
        return 0;
}

int flow_send(Flow *flow, uint64_t since, FlowEvent *ret_event) {
        assert_int_equal(since, now);
        if (full)
                return -EAGAIN;
        flow->volley.counts.sent++;
        *ret_event = sending;
        return 0;
}

bool flow_next(Flow *flow, FlowEvent *ret_event) {
        if (n_taken == n_events)
                return false;
        flow->answer_size = events[n_taken].size;
        *ret_event = events[n_taken++];
        return true;
}

void flow_recognize(const Flow *flow, char ret_foreign[static FOREIGN_TEXT_SIZE]) {
        (void)flow;
        (void)ret_foreign;
        recognized = true;
}

int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end) {
        assert_int_equal(count, 2);
        assert_true(n_waits < MOST);
        assert_true(end > now);
        polled[0].revents = 0;
        polled[1].revents = n_waits == interrupted_after ? POLLIN : 0;
        if (polled[1].revents != 0)
                return 1;
        waits[n_waits++] = end - now;
        now = end;
        return 0;
}

/* Probes the size, with those @n events behind the first datagram, and no wait of a second. */
static int probe_with(const FlowEvent *those, size_t n) {
        options = (ClientOptions){ .timeout = CLOCK_SECOND, .connection.interrupt = -1 };
        report = (Report){};
        probe = (Probe){ .options = &options,
                         .report = &report,
                         .flow = { .payload = &payload, .volley.counts.sent = FIRST },
                         .headers = HEADERS,
                         .changed = SIZE_MAX };
        now = 1000 * CLOCK_SECOND;
        for (size_t i = 0; i < n; i++)
                events[i] = those[i];
        n_events = n;
        n_taken = n_waits = 0;
        recognized = false;
        return probe_make(&probe, SIZE);
}

/* Expects that the size was repeated until the end, with a long last wait unless @explained. */
static void expect_repetitions(bool explained) {
        assert_int_equal(probe.flow.volley.counts.sent, FIRST + PROBE_ATTEMPTS);
        assert_int_equal(n_waits, PROBE_ATTEMPTS);
        for (size_t i = 0; i + 1 < n_waits; i++)
                assert_int_equal(waits[i], PAUSE);
        assert_int_equal(waits[n_waits - 1], explained ? PAUSE : CLOCK_SECOND);
}

/* An intact answer in one packet passes, at once; its round trip makes later pauses longer. */
static void test_passes(void **state) {
        const FlowEvent answers[] = {
                { .kind = FLOW_ANSWER, .number = FIRST, .size = SIZE, .answer.time = PAUSE }
        };

        (void)state;
        assert_int_equal(probe_with(answers, 1), PROBE_PASSED);
        assert_int_equal(probe.flow.volley.counts.sent, FIRST + 1);
        assert_int_equal(payload.size, SIZE);
        assert_int_equal(n_waits, 0);
        assert_int_equal(report.bytes_sent, SIZE);
        assert_int_equal(report.bytes_received, SIZE);
        assert_int_equal(probe.shortest, PAUSE);

        events[0].number++;
        events[0].answer.time++;
        n_taken = 0;
        assert_int_equal(probe_make(&probe, SIZE), PROBE_PASSED);
        assert_int_equal(probe.shortest, PAUSE);
        assert_int_equal(report.bytes_received, 2 * SIZE);

        assert_int_equal(probe_make(&probe, SIZE), PROBE_LOST);
        assert_int_equal(waits[0], 4 * PAUSE);
        assert_int_equal(waits[PROBE_ATTEMPTS - 1], CLOCK_SECOND);
}

/* No other answer passes. Only one in fragments makes repetitions useless; a changed one explains
 * the silence, the others do not. */
static void test_wrong_answers(void **state) {
        static const struct {
                FlowEvent event;
                int result;
                bool announced, changed, recognized;
                size_t smallest;
        } cases[] = {
                { { .number = FIRST, .size = SIZE, .fragments = true },
                  PROBE_REFUSED,
                  true,
                  false,
                  false,
                  SIZE_MAX },
                { { .number = FIRST, .size = SIZE, .answer.verdict = VOLLEY_CHANGED },
                  PROBE_LOST,
                  false,
                  true,
                  false,
                  SIZE },
                { { .number = FIRST - 1, .size = SIZE - 1, .answer.verdict = VOLLEY_CHANGED },
                  PROBE_LOST,
                  false,
                  false,
                  false,
                  SIZE - 1 },
                { { .number = FIRST - 1, .size = SIZE - 1, .fragments = true },
                  PROBE_LOST,
                  false,
                  false,
                  false,
                  SIZE_MAX },
                { { .number = FIRST, .size = SIZE, .answer.verdict = VOLLEY_DUPLICATED },
                  PROBE_LOST,
                  false,
                  false,
                  false,
                  SIZE_MAX },
                { { .number = FIRST + 1,
                    .size = SIZE,
                    .answer.verdict = VOLLEY_UNRECOGNIZED,
                    .fragments = true },
                  PROBE_LOST,
                  false,
                  false,
                  true,
                  SIZE_MAX },
                { { .kind = FLOW_EXPIRED, .number = FIRST },
                  PROBE_LOST,
                  false,
                  false,
                  false,
                  SIZE_MAX },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                assert_int_equal(probe_with(&cases[i].event, 1), cases[i].result);
                assert_int_equal(probe.reason.announced, cases[i].announced);
                assert_int_equal(probe.reason.changed, cases[i].changed);
                assert_int_equal(probe.reason.rejection.error, 0);
                assert_int_equal(probe.changed, cases[i].smallest);
                assert_int_equal(recognized, cases[i].recognized);
                assert_int_equal(report.bytes_received,
                                 cases[i].event.kind == FLOW_ANSWER ? cases[i].event.size : 0);
                if (cases[i].result == PROBE_LOST)
                        expect_repetitions(cases[i].changed);
        }
}

/* A later event does not take back what an earlier one explains, and all are taken in one look. */
static void test_several(void **state) {
        const FlowEvent both[] = {
                { .kind = FLOW_ANSWER,
                  .number = FIRST,
                  .size = SIZE,
                  .answer.verdict = VOLLEY_CHANGED },
                { .kind = FLOW_REJECTED,
                  .number = FIRST,
                  .rejection = { .error = EMSGSIZE, .mtu = SIZE } },
                { .kind = FLOW_ANSWER,
                  .number = FIRST,
                  .size = SIZE,
                  .answer.verdict = VOLLEY_DUPLICATED },
        };

        (void)state;
        assert_int_equal(probe_with(both, COUNT(both)), PROBE_LOST);
        assert_true(probe.reason.announced);
        assert_true(probe.reason.changed);
        expect_repetitions(true);
}

/* An error about the size names it and explains the silence, if the packet exceeds its MTU. */
static void test_too_large(void **state) {
        static const struct {
                size_t hint;
                uint32_t mtu;
                bool announced;
        } cases[] = { { SIZE - HEADERS, SIZE, true },
                      { SIZE - 1, SIZE + HEADERS - 1, true },
                      { SIZE, SIZE + HEADERS, false },
                      { 0, HEADERS, true },
                      { 0, 0, true } };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                const FlowEvent event = { .kind = FLOW_REJECTED,
                                          .number = FIRST,
                                          .rejection = { .error = EMSGSIZE, .mtu = cases[i].mtu } };

                assert_int_equal(probe_with(&event, 1), PROBE_LOST);
                assert_int_equal(probe.hint, cases[i].hint);
                assert_int_equal(probe.named, cases[i].mtu);
                assert_int_equal(probe.reason.announced, cases[i].announced);
                assert_int_equal(probe.reason.rejection.error, 0);
                expect_repetitions(cases[i].announced);
        }
}

/* Another error is the reason if it is about this size. It explains only the silence of the last
 * datagram. */
static void test_rejected(void **state) {
        FlowEvent event = { .kind = FLOW_REJECTED,
                            .number = FIRST,
                            .rejection = { .error = ECONNREFUSED } };

        (void)state;
        assert_int_equal(probe_with(&event, 1), PROBE_LOST);
        assert_int_equal(probe.reason.rejection.error, ECONNREFUSED);
        assert_int_equal(probe.rejected, FIRST + 1);
        expect_repetitions(false);

        event.number = FIRST - 1;
        assert_int_equal(probe_with(&event, 1), PROBE_LOST);
        assert_int_equal(probe.reason.rejection.error, 0);

        event.number = FIRST + PROBE_ATTEMPTS - 1;
        assert_int_equal(probe_with(&event, 1), PROBE_LOST);
        expect_repetitions(true);
}

/* This machine refuses a size that it cannot send; a full send buffer is a loss. */
static void test_not_sent(void **state) {
        (void)state;
        sending = (FlowEvent){ .kind = FLOW_REJECTED,
                               .rejection = { .error = EMSGSIZE, .local = true } };
        assert_int_equal(probe_with(NULL, 0), PROBE_REFUSED);
        assert_int_equal(probe.flow.volley.counts.sent, FIRST + 1);
        assert_int_equal(report.bytes_sent, 0);
        sending = (FlowEvent){};

        full = true;
        assert_int_equal(probe_with(NULL, 0), PROBE_LOST);
        assert_int_equal(n_waits, PROBE_ATTEMPTS);
        assert_int_equal(report.bytes_sent, 0);
        full = false;
}

/* The interrupt ends the waits, after one more look. */
static void test_interrupt(void **state) {
        (void)state;
        interrupted_after = 2;
        assert_int_equal(probe_with(NULL, 0), -EINTR);
        assert_int_equal(probe.flow.volley.counts.sent, FIRST + 3);
        interrupted_after = SIZE_MAX;
}

/* What comes about earlier sizes says nothing about the next one. */
static void test_catch_up(void **state) {
        const FlowEvent late[] = {
                { .number = FIRST, .size = SIZE },
                { .number = FIRST, .size = SIZE, .answer.verdict = VOLLEY_CHANGED }
        };

        (void)state;
        assert_int_equal(probe_with(NULL, 0), PROBE_LOST);
        for (size_t i = 0; i < COUNT(late); i++)
                events[i] = late[i];
        n_events = COUNT(late);
        probe_catch_up(&probe);
        assert_int_equal(n_taken, n_events);
        assert_int_equal(probe.changed, SIZE);
        assert_false(probe.reason.changed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_passes),    cmocka_unit_test(test_wrong_answers),
                cmocka_unit_test(test_several),   cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_rejected),  cmocka_unit_test(test_not_sent),
                cmocka_unit_test(test_interrupt), cmocka_unit_test(test_catch_up),
        };

        interrupted_after = SIZE_MAX;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
