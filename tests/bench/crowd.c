/* SPDX-License-Identifier: MIT */
/*
 * crowd ADDRESS PORT COUNT WINDOW: holds COUNT connections to an echo server.
 *
 * Opens them, WINDOW at once, has a message echoed on each, and says on standard output how that
 * went. Then it does what it reads from standard input, line by line, until that ends:
 *
 *   trips COUNT PERIOD     so many round trips, one after the other
 *   rounds COUNT PERIOD    so often a round trip on all connections at once
 *
 * They begin PERIOD microseconds apart; trips are on connections far from one another.
 *
 * Each answer is a JSON object on a line: how many messages came back right, how many connections
 * are lost, and the latencies in microseconds. An echo is lost when it differs, or when no echo has
 * come for ten seconds.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/output/json.h"
#include "client/value/histogram.h"
#include "lib/clock.h"

enum { MESSAGE_SIZE = 64, EVENTS = 256, STRIDE = 617 };

/* For how long not one of the echoes that are waited for comes, before they are given up. */
#define PATIENCE (10 * CLOCK_SECOND)

/* A connection; @fd is negative when it is lost. A message is under way while @begun is not 0. */
typedef struct Member {
        int fd;
        bool connecting;
        uint64_t begun;
        size_t received;
        unsigned char sequence;
} Member;

typedef struct Crowd {
        struct sockaddr_in address;
        Member *members;
        size_t size;
        size_t lost;
        size_t under_way;
        int epoll;
        Histogram latency;
} Crowd;

/* Bytes that no other message of this connection has, nor any of its neighbours. */
static unsigned char crowd_byte(const Crowd *crowd, const Member *member, size_t i) {
        return (unsigned char)((size_t)(member - crowd->members) * 31 +
                               member->sequence * (size_t)7 + i);
}

static void crowd_lose(Crowd *crowd, Member *member) {
        close(member->fd);
        member->fd = -1;
        crowd->lost++;
        if (member->begun != 0)
                crowd->under_way--;
        member->begun = 0;
}

static void crowd_watch(Crowd *crowd, Member *member, int operation, uint32_t events) {
        struct epoll_event event = { .events = events, .data.ptr = member };

        if (epoll_ctl(crowd->epoll, operation, member->fd, &event) < 0)
                err(EXIT_FAILURE, "cannot watch a connection");
}

static void crowd_send(Crowd *crowd, Member *member) {
        unsigned char message[MESSAGE_SIZE];

        member->sequence++;
        member->received = 0;
        for (size_t i = 0; i < sizeof message; i++)
                message[i] = crowd_byte(crowd, member, i);
        if (send(member->fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
                crowd_lose(crowd, member);
}

static void crowd_begin(Crowd *crowd, Member *member) {
        member->begun = clock_now();
        crowd->under_way++;
        crowd_send(crowd, member);
}

static void crowd_connect(Crowd *crowd, Member *member) {
        member->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (member->fd < 0)
                err(EXIT_FAILURE, "no socket");
        member->begun = clock_now();
        member->connecting = true;
        crowd->under_way++;
        if (connect(member->fd, (struct sockaddr *)&crowd->address, sizeof crowd->address) < 0 &&
            errno != EINPROGRESS)
                crowd_lose(crowd, member);
        else
                crowd_watch(crowd, member, EPOLL_CTL_ADD, EPOLLOUT);
}

static void crowd_connected(Crowd *crowd, Member *member) {
        int error = 0;
        socklen_t size = sizeof error;

        member->connecting = false;
        if (getsockopt(member->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
                crowd_lose(crowd, member);
                return;
        }
        crowd_watch(crowd, member, EPOLL_CTL_MOD, EPOLLIN);
        crowd_send(crowd, member);
}

static void crowd_receive(Crowd *crowd, Member *member) {
        unsigned char message[MESSAGE_SIZE];
        ssize_t n = recv(member->fd, message, sizeof message - member->received, 0);
        bool right = n > 0 && member->begun != 0;

        if (n < 0 && errno == EAGAIN)
                return;
        for (ssize_t i = 0; right && i < n; i++)
                right = message[i] == crowd_byte(crowd, member, member->received++);
        if (!right) {
                crowd_lose(crowd, member);
        } else if (member->received == MESSAGE_SIZE) {
                histogram_record(&crowd->latency, clock_now() - member->begun);
                member->begun = 0;
                crowd->under_way--;
        }
}

/* Takes what has come, or waits for something until @deadline. */
static void crowd_step(Crowd *crowd, uint64_t deadline) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(crowd->epoll, events, EVENTS, clock_timeout(clock_now(), deadline));

        for (int i = 0; i < count; i++) {
                Member *member = events[i].data.ptr;

                if (member->fd < 0)
                        continue;
                if (member->connecting)
                        crowd_connected(crowd, member);
                else
                        crowd_receive(crowd, member);
        }
}

/* Waits until fewer than @most echoes are under way, or none comes any more. */
static void crowd_await(Crowd *crowd, size_t most) {
        uint64_t deadline = clock_now() + PATIENCE;

        while (crowd->under_way >= most && clock_now() < deadline) {
                const size_t before = crowd->under_way;

                crowd_step(crowd, deadline);
                if (crowd->under_way < before)
                        deadline = clock_now() + PATIENCE;
        }
}

/* Waits for every echo; what does not come is lost. */
static void crowd_finish(Crowd *crowd) {
        crowd_await(crowd, 1);
        for (size_t i = 0; crowd->under_way > 0 && i < crowd->size; i++)
                if (crowd->members[i].begun != 0)
                        crowd_lose(crowd, &crowd->members[i]);
}

static void crowd_open(Crowd *crowd, size_t window) {
        for (size_t i = 0; i < crowd->size; i++) {
                crowd_await(crowd, window);
                crowd_connect(crowd, &crowd->members[i]);
        }
        crowd_finish(crowd);
}

/* Waits until @due, and loses those whose server says something unasked meanwhile. */
static void crowd_wait(Crowd *crowd, uint64_t due) {
        while (clock_now() < due)
                crowd_step(crowd, due);
}

static void crowd_trips(Crowd *crowd, unsigned long count, uint64_t period) {
        uint64_t due = clock_now();

        for (size_t i = 0; i < count; i++, due += period) {
                Member *member = &crowd->members[i * STRIDE % crowd->size];

                crowd_wait(crowd, due);
                if (member->fd >= 0)
                        crowd_begin(crowd, member);
                crowd_finish(crowd);
        }
}

static void crowd_rounds(Crowd *crowd, unsigned long count, uint64_t period) {
        uint64_t due = clock_now();

        for (size_t i = 0; i < count; i++, due += period) {
                crowd_wait(crowd, due);
                for (size_t k = 0; k < crowd->size; k++)
                        if (crowd->members[k].fd >= 0)
                                crowd_begin(crowd, &crowd->members[k]);
                crowd_finish(crowd);
        }
}

/* Says what has been measured since the last time, which took since @start. */
static void crowd_report(Crowd *crowd, uint64_t start) {
        Json json = { .file = stdout };

        json_open(&json, NULL);
        json_integer(&json, "right", crowd->latency.count);
        json_integer(&json, "lost", crowd->lost);
        json_number(&json, "seconds", (double)(clock_now() - start) / 1e9);
        json_number(&json, "p50", (double)histogram_quantile(&crowd->latency, 500) / 1e3);
        json_number(&json, "p99", (double)histogram_quantile(&crowd->latency, 990) / 1e3);
        json_number(&json, "max", (double)crowd->latency.maximum / 1e3);
        json_close(&json);
        (void)fputc('\n', stdout);
        if (fflush(stdout) != 0)
                err(EXIT_FAILURE, "cannot say it");
        memset(&crowd->latency, 0, sizeof crowd->latency);
}

static void crowd_obey(Crowd *crowd) {
        char line[128], order[16], count[16], period[16];

        while (fgets(line, sizeof line, stdin) != NULL) {
                uint64_t start = clock_now();

                if (sscanf(line, "%15s %15s %15s", order, count, period) != 3)
                        errx(EXIT_FAILURE, "what is %s?", line);
                (strcmp(order, "trips") == 0 ? crowd_trips
                                             : crowd_rounds)(crowd, strtoul(count, NULL, 10),
                                                             strtoul(period, NULL, 10) * 1000);
                crowd_report(crowd, start);
        }
}

int main(int argc, char **argv) {
        static Crowd crowd = { .address.sin_family = AF_INET };
        uint64_t start = clock_now();

        if (argc != 5 || inet_pton(AF_INET, argv[1], &crowd.address.sin_addr) != 1)
                errx(EXIT_FAILURE, "usage: %s ADDRESS PORT COUNT WINDOW", argv[0]);
        crowd.address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        crowd.size = strtoul(argv[3], NULL, 10);
        crowd.epoll = epoll_create1(0);
        crowd.members = calloc(crowd.size, sizeof *crowd.members);
        if (crowd.members == NULL || crowd.epoll < 0)
                err(EXIT_FAILURE, "cannot begin");
        crowd_open(&crowd, strtoul(argv[4], NULL, 10));
        crowd_report(&crowd, start);
        crowd_obey(&crowd);
        return EXIT_SUCCESS;
}
