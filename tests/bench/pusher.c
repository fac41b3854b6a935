/* SPDX-License-Identifier: MIT */
/*
 * pusher KIND ADDRESS PORT CONNECTIONS SECONDS: loads an echo server as fast as one epoll loop can,
 * and prints how much of KIND came back: "requests" of 64 bytes, "connections" with one request
 * each, or mebibytes of "streams". It is written for nothing but speed, as the measure of
 * mpecho-client's: it compares no byte, keeps no times and has no timeouts.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
        REQUEST_SIZE = 64,
        BLOCK_SIZE = 128 * 1024,
        BUFFER_SIZE = 256 * 1024,
        EVENTS = 64,
};

typedef struct Pusher {
        struct sockaddr_in address;
        int epoll;
        /* Whether a connection carries more than one request, and whether as much as it can. */
        bool keeps;
        bool streams;
        uint64_t came;
        /* Whether time is up: connections end in order, and none follows. */
        bool ending;
        unsigned long live;
        char message[BLOCK_SIZE];
        char buffer[BUFFER_SIZE];
} Pusher;

static double now(void) {
        struct timespec time;

        (void)clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pusher_send(Pusher *pusher, int fd) {
        size_t size = pusher->streams ? BLOCK_SIZE : REQUEST_SIZE;

        if (send(fd, pusher->message, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
                err(EXIT_FAILURE, "cannot send");
}

static void pusher_connect(Pusher *pusher) {
        struct epoll_event event = { .events = EPOLLIN | (pusher->streams ? EPOLLOUT : 0) };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        event.data.fd = fd;
        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0 ||
            connect(fd, (struct sockaddr *)&pusher->address, sizeof pusher->address) < 0 ||
            epoll_ctl(pusher->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                err(EXIT_FAILURE, "cannot connect");
        if (!pusher->streams)
                pusher_send(pusher, fd);
}

/* The 64 bytes of a request come back in one piece. */
static void pusher_receive(Pusher *pusher, int fd) {
        ssize_t n = recv(fd, pusher->buffer, BUFFER_SIZE, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0)
                err(EXIT_FAILURE, "cannot receive");
        if (pusher->streams) {
                pusher->came += (uint64_t)n;
                return;
        }
        if (n > 0)
                pusher->came++;
        if (n > 0 && pusher->keeps) {
                pusher_send(pusher, fd);
        } else if (n > 0) {
                (void)shutdown(fd, SHUT_WR);
        } else {
                close(fd);
                pusher_connect(pusher);
        }
}

/* Ends a connection at its next event; what still comes does not count. */
static void pusher_end(Pusher *pusher, int fd) {
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        ssize_t n;

        (void)shutdown(fd, SHUT_WR);
        (void)epoll_ctl(pusher->epoll, EPOLL_CTL_MOD, fd, &event);
        n = recv(fd, pusher->buffer, BUFFER_SIZE, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
                close(fd);
                pusher->live--;
        }
}

static void pusher_serve(Pusher *pusher, const struct epoll_event *event) {
        int fd = event->data.fd;

        if (pusher->ending) {
                pusher_end(pusher, fd);
                return;
        }
        if ((event->events & EPOLLOUT) != 0)
                pusher_send(pusher, fd);
        if ((event->events & ~(uint32_t)EPOLLOUT) != 0)
                pusher_receive(pusher, fd);
}

int main(int argc, char **argv) {
        static Pusher pusher = { .address.sin_family = AF_INET };
        struct epoll_event events[EVENTS];
        double start, end, came = 0;

        if (argc != 6 || inet_pton(AF_INET, argv[2], &pusher.address.sin_addr) != 1)
                errx(EXIT_FAILURE, "usage: %s KIND ADDRESS PORT CONNECTIONS SECONDS", argv[0]);
        pusher.address.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
        pusher.streams = strcmp(argv[1], "streams") == 0;
        pusher.keeps = strcmp(argv[1], "requests") == 0;
        pusher.live = strtoul(argv[4], NULL, 10);
        pusher.epoll = epoll_create1(0);
        start = now();
        for (unsigned long i = 0; i < pusher.live; i++)
                pusher_connect(&pusher);
        end = start + strtod(argv[5], NULL);
        while (pusher.live > 0) {
                int n = epoll_wait(pusher.epoll, events, EVENTS, 100);

                for (int i = 0; i < n; i++)
                        pusher_serve(&pusher, &events[i]);
                if (!pusher.ending && now() >= end) {
                        pusher.ending = true;
                        came = (double)pusher.came / (now() - start);
                }
        }
        printf("%.1f\n", pusher.streams ? came / (1 << 20) : came);
        return EXIT_SUCCESS;
}
