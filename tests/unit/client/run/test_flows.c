/* SPDX-License-Identifier: MIT */
/* When the flows of a ping send. The test has the clock, and looks at the service's queue. */

#include "client/run/flows.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "peer.h"
#include "unit.h"

enum {
        FLOWS = 4,
        ROUNDS = 2,
};

#define START (1000 * CLOCK_SECOND)

static uint64_t now;
static int service;
/* When the datagrams came, in their order. */
static uint64_t arrivals[ROUNDS * FLOWS];
static size_t arrived;

/* These are in place of the C library's, and of inquiry.c. */

int clock_gettime(clockid_t clock, struct timespec *time) {
        (void)clock;
        *time = clock_timespec(now);
        return 0;
}

void inquiry_set(void (*answer)(void *userdata), void *userdata) {
        (void)answer;
        (void)userdata;
}

void inquiry_ignore(void) {
}

/* No time passes but here. Nobody answers. */
int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end) {
        char byte;

        assert_int_equal(count, FLOWS + 1);
        assert_true(end > now);
        while (recv(service, &byte, sizeof byte, MSG_DONTWAIT) > 0) {
                assert_true(arrived < COUNT(arrivals));
                arrivals[arrived++] = now;
        }
        for (nfds_t i = 0; i < count; i++)
                polled[i].revents = 0;
        now = end;
        return 0;
}

/* Sends the datagrams of each flow, and expects that it begins a @gap after the flow before, and
 * sends the next datagram @then after the last one. */
static void expect_gaps(bool flood, uint64_t interval, uint64_t gap, uint64_t then) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        ClientOptions options = { .action = CLIENT_PING,
                                  .connection = { .datagram = true, .interrupt = -1 },
                                  .timeout = CLOCK_SECOND,
                                  .quiet = true,
                                  .flood = flood,
                                  .interval = interval,
                                  .count = ROUNDS,
                                  .flows = FLOWS,
                                  .size = 64 };
        Report report = {};

        service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(service, (const struct sockaddr *)&address, sizeof address), 0);
        snprintf(options.target.host, sizeof options.target.host, "127.0.0.1");
        options.target.port = peer_port(service);
        now = START;
        arrived = 0;
        flows_run(&options, &report);

        assert_int_equal(arrived, ROUNDS * FLOWS);
        for (size_t i = 0; i < arrived; i++)
                assert_int_equal(arrivals[i] - START, i / FLOWS * then + i % FLOWS * gap);
        assert_int_equal(report.elapsed, (ROUNDS - 1) * then + (FLOWS - 1) * gap + options.timeout);
        free(report.flows);
        close(service);
}

/* Flows begin evenly spaced in their interval. Without one they begin a millisecond apart: all at
 * once would fill the queue of the service's socket. Each of these sends again 10 ms after its last
 * datagram, which nobody answers. */
static void test_gaps(void **state) {
        (void)state;
        expect_gaps(false, CLOCK_SECOND, CLOCK_SECOND / FLOWS, CLOCK_SECOND);
        expect_gaps(true, 0, CLOCK_MILLISECOND, 10 * CLOCK_MILLISECOND);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_gaps) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
