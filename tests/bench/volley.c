/* SPDX-License-Identifier: MIT */
/*
 * volley ADDRESS PORT FLOWS WINDOW SECONDS: a client of a datagram echo. Each flow, a socket with a
 * port of its own, has WINDOW datagrams on their way and sends the next ones when answers come. It
 * compares every byte, but for the flag that sockperf's server clears, and prints an object:
 * answers a second, the median of the round trips in microseconds where WINDOW is 1, and how many
 * datagrams were lost or came back wrong.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/clock.h"

enum {
        SIZE = 64,
        FLOWS_MOST = 1024,
        WINDOW_MOST = 64,
        TRIPS_MOST = 1 << 20,
        /* The byte of a message of sockperf with its flags, and the flag of a client. */
        FLAGS = 9,
        CLIENT = 1,
        /* Milliseconds without any answer after which what is on its way is lost. */
        PATIENCE = 100,
};

/* Messages begin as those of sockperf's client do, or its server ignores them: a number, flags, and
 * the size. */
static const char header[] = { 0, 0, 0, 0, 0, 0, 0, 1, 0, CLIENT | 2, 0, 0, 0, SIZE };

static struct pollfd flows[FLOWS_MOST];
static uint64_t sent_at[FLOWS_MOST];
static char sent[WINDOW_MOST][SIZE], received[WINDOW_MOST][SIZE + 1];
static struct iovec vectors[WINDOW_MOST];
static struct mmsghdr messages[WINDOW_MOST];
static uint64_t trips[TRIPS_MOST];
static uint64_t answers, lost, wrong;
static size_t n_trips;

static unsigned long argument(const char *text, unsigned long most) {
        const unsigned long number = strtoul(text, NULL, 10);

        if (number < 1 || number > most)
                errx(EXIT_FAILURE, "%s is not from 1 to %lu", text, most);
        return number;
}

static void open_flows(size_t n, const char *host, const char *port) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)argument(port, UINT16_MAX)) };

        if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
                errx(EXIT_FAILURE, "%s is not an IPv4 address", host);
        for (size_t i = 0; i < n; i++) {
                flows[i] = (struct pollfd){ .fd = socket(AF_INET, SOCK_DGRAM, 0),
                                            .events = POLLIN };
                if (flows[i].fd < 0 ||
                    setsockopt(flows[i].fd, IPPROTO_UDP, UDP_SEGMENT, &(int){ SIZE }, sizeof(int)) <
                                    0 ||
                    connect(flows[i].fd, (const struct sockaddr *)&address, sizeof address) < 0)
                        err(EXIT_FAILURE, "cannot send to %s port %s", host, port);
        }
}

static void flow_send(size_t flow, unsigned n) {
        sent_at[flow] = clock_now();
        if (n > 0)
                (void)send(flows[flow].fd, sent, n * sizeof sent[0], 0);
}

/* Returns how many answers came. */
static unsigned flow_receive(size_t flow, unsigned window) {
        int n;

        for (unsigned i = 0; i < window; i++) {
                vectors[i] = (struct iovec){ .iov_base = received[i],
                                             .iov_len = sizeof received[i] };
                messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
        }
        n = recvmmsg(flows[flow].fd, messages, window, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
                received[i][FLAGS] |= CLIENT;
                wrong += messages[i].msg_len != SIZE || memcmp(received[i], sent[0], SIZE) != 0;
        }
        answers += n > 0 ? (unsigned)n : 0;
        return n > 0 ? (unsigned)n : 0;
}

static void flow_turn(size_t flow, unsigned window) {
        const unsigned n = flow_receive(flow, window);

        if (n > 0 && window == 1 && n_trips < TRIPS_MOST)
                trips[n_trips++] = clock_now() - sent_at[flow];
        flow_send(flow, n);
}

static int compare(const void *one, const void *other) {
        const uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

        return (a > b) - (a < b);
}

int main(int argc, char **argv) {
        uint64_t began, ended, median;
        unsigned window;
        size_t n;

        if (argc != 6)
                errx(EXIT_FAILURE, "usage: %s ADDRESS PORT FLOWS WINDOW SECONDS", argv[0]);
        n = argument(argv[3], FLOWS_MOST);
        window = (unsigned)argument(argv[4], WINDOW_MOST);
        memset(sent, 'e', sizeof sent);
        for (size_t i = 0; i < WINDOW_MOST; i++)
                memcpy(sent[i], header, sizeof header);
        open_flows(n, argv[1], argv[2]);

        began = clock_now();
        ended = began + (uint64_t)(strtod(argv[5], NULL) * (double)CLOCK_SECOND);
        for (size_t i = 0; i < n; i++)
                flow_send(i, window);
        while (clock_now() < ended) {
                const int ready = poll(flows, n, PATIENCE);

                for (size_t i = 0; i < n; i++)
                        if (ready == 0)
                                flow_send(i, window);
                        else if (flows[i].revents != 0)
                                flow_turn(i, window);
                lost += ready == 0 ? n * window : 0;
        }
        ended = clock_now();

        qsort(trips, n_trips, sizeof trips[0], compare);
        median = trips[n_trips / 2];
        printf("{\"rate\": %.1f, \"p50\": %.2f, \"lost\": %llu, \"wrong\": %llu}\n",
               (double)answers * (double)CLOCK_SECOND / (double)(ended - began),
               (double)median / (double)CLOCK_MICROSECOND, (unsigned long long)lost,
               (unsigned long long)wrong);
        return EXIT_SUCCESS;
}
