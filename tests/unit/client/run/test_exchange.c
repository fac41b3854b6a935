/* SPDX-License-Identifier: MIT */
/* How many datagrams of a check are open, and when those of a flood follow. The test has the clock,
 * and is the service. */

#include "client/run/exchange.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "lib/clock.h"
#include "peer.h"
#include "unit.h"

enum {
        FLOOD = 3,
        TIMEOUT = 1000,
};

#define START   (1000 * CLOCK_SECOND)
#define LATENCY (3 * CLOCK_MILLISECOND)

static uint64_t now;
static int service;
/* Whether the service answers each datagram, LATENCY later, or the run ends when it waits. */
static bool answers;
static bool ends;
/* The datagrams that came: their number and bytes, and when the first ones did. */
static size_t arrived;
static size_t bytes;
static uint64_t arrivals[FLOOD];

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

/* Takes all that was sent. Returns whether something was answered. */
static bool serve(void) {
        static char buffer[65536];
        struct sockaddr_in client;
        bool answered = false;
        ssize_t n;

        for (;;) {
                n = recvfrom(service, buffer, sizeof buffer, MSG_DONTWAIT,
                             (struct sockaddr *)&client, &(socklen_t){ sizeof client });
                if (n < 0)
                        return answered;
                if (arrived < FLOOD)
                        arrivals[arrived] = now;
                arrived++;
                bytes += (size_t)n;
                if (!answers)
                        continue;
                now += LATENCY;
                answered = true;
                assert_int_equal(sendto(service, buffer, (size_t)n, 0,
                                        (const struct sockaddr *)&client, sizeof client),
                                 n);
        }
}

/* No time passes but here and with an answer. */
int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end) {
        assert_int_equal(count, 2);
        polled[0].revents = polled[1].revents = 0;
        /* Of the path, which takes a socket that is connected. */
        if (polled[0].events == POLLOUT) {
                polled[0].revents = POLLOUT;
                return 1;
        }
        if (serve()) {
                polled[0].revents = POLLIN;
                return 1;
        }
        if (end <= now)
                return 0;
        now = end;
        if (ends)
                polled[1].revents = POLLIN;
        return ends;
}

static void exchange(ClientOptions options) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        static Report report;

        report = (Report){};
        service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(service, (const struct sockaddr *)&address, sizeof address), 0);
        snprintf(options.target.host, sizeof options.target.host, "127.0.0.1");
        options.target.port = peer_port(service);
        options.connection = (ConnectionOptions){ .datagram = true, .interrupt = -1 };
        options.timeout = TIMEOUT * CLOCK_SECOND;
        options.quiet = true;
        now = START;
        arrived = bytes = 0;
        exchange_run(&options, &report);
        assert_int_equal(report.attempts, arrived);
        assert_int_equal(report.bytes_sent, bytes);
        close(service);
}

/* A check has at most 64 open datagrams, and no more than 64K bytes in all of them. */
static void test_window(void **state) {
        static const struct {
                size_t size, open;
        } cases[] = { { 1, 64 },    { 1000, 64 }, { 1024, 64 }, { 1025, 63 },
                      { 1400, 46 }, { 32768, 2 }, { 32769, 1 }, { 65507, 1 } };

        (void)state;
        answers = false;
        ends = true;
        for (size_t i = 0; i < COUNT(cases); i++) {
                exchange((ClientOptions){ .action = CLIENT_CHECK,
                                          .size = cases[i].size,
                                          .check_size = 1 << 20 });
                assert_int_equal(arrived, cases[i].open);
        }
}

/* A datagram of a flood follows 10 ms after the one before, or at the answer to that. */
static void test_flood(void **state) {
        const ClientOptions options = {
                .action = CLIENT_PING, .flood = true, .count = FLOOD, .size = 64
        };

        (void)state;
        ends = false;
        for (int i = 0; i < 2; i++) {
                const uint64_t gap = i == 0 ? 10 * CLOCK_MILLISECOND : LATENCY;

                answers = i == 1;
                exchange(options);
                assert_int_equal(arrived, FLOOD);
                for (size_t j = 0; j < FLOOD; j++)
                        assert_int_equal(arrivals[j] - START, j * gap);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_window),
                                            cmocka_unit_test(test_flood) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
