/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static void peer_wait(int fd, short events) {
        struct pollfd ready = { .fd = fd, .events = events };

        assert_int_equal(poll(&ready, 1, PATIENCE_SECONDS * 1000), 1);
}

void peer_wait_readable(int fd) {
        peer_wait(fd, POLLIN);
}

void peer_pair(int fds[static 2]) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

in_port_t peer_port(int fd) {
        struct sockaddr_in6 name = {};
        socklen_t length = sizeof name;

        /* The port is in the same place for IPv4. */
        assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        return ntohs(name.sin6_port);
}

int peer_connect(in_port_t port, in_addr_t from) {
        struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(from) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        name.sin_port = htons(port);
        assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
        return fd;
}

void peer_pair_tcp(int fds[static 2]) {
        const struct sockaddr_in name = { .sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(listener >= 0);
        assert_int_equal(bind(listener, (const struct sockaddr *)&name, sizeof name), 0);
        assert_int_equal(listen(listener, 1), 0);
        fds[0] = peer_connect(peer_port(listener), INADDR_LOOPBACK);
        fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fds[1] >= 0);
        close(listener);
}

void peer_send(int fd, const void *data, size_t size) {
        const char *next = data;

        while (size > 0) {
                ssize_t n = send(fd, next, size, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        peer_wait(fd, POLLOUT);
                        continue;
                }
                next += n;
                size -= (size_t)n;
        }
}

size_t peer_receive(int fd, void *data, size_t size) {
        size_t received = 0;

        while (received < size) {
                ssize_t n;

                peer_wait(fd, POLLIN);
                n = recv(fd, (char *)data + received, size - received, MSG_DONTWAIT);
                if (n == 0)
                        break;
                assert_true(n > 0);
                received += (size_t)n;
        }
        return received;
}

void peer_echo(int fd, const char *text) {
        char back[256];

        assert_in_range(strlen(text), 1, sizeof back);
        peer_send(fd, text, strlen(text));
        assert_int_equal(peer_receive(fd, back, strlen(text)), strlen(text));
        assert_memory_equal(back, text, strlen(text));
}

unsigned char peer_pattern(size_t i) {
        return (unsigned char)(i % 251 + i / 251);
}

size_t peer_fill(int fd, size_t from) {
        unsigned char data[1024];
        size_t sent = 0;

        for (;;) {
                ssize_t n;

                for (size_t i = 0; i < sizeof data; i++)
                        data[i] = peer_pattern(from + sent + i);
                n = send(fd, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0) {
                        assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
                        return sent;
                }
                sent += (size_t)n;
        }
}

void peer_expect_pattern(int fd, size_t from, size_t to, bool end) {
        unsigned char data[16 * 1024];

        while (from < to) {
                size_t size = to - from < sizeof data ? to - from : sizeof data;

                assert_int_equal(peer_receive(fd, data, size), size);
                for (size_t i = 0; i < size; i++)
                        if (data[i] != peer_pattern(from + i))
                                fail_msg("byte %zu is wrong", from + i);
                from += size;
        }
        if (end)
                peer_expect_end(fd);
}

size_t peer_receive_pattern(int fd) {
        unsigned char data[16 * 1024];
        size_t received = 0, size;

        do {
                size = peer_receive(fd, data, sizeof data);
                for (size_t i = 0; i < size; i++)
                        if (data[i] != peer_pattern(received + i))
                                fail_msg("byte %zu is wrong", received + i);
                received += size;
        } while (size == sizeof data);
        return received;
}

void peer_expect_end(int fd) {
        char byte;

        assert_int_equal(peer_receive(fd, &byte, 1), 0);
}

void peer_expect_reset(int fd) {
        char byte;

        peer_wait(fd, POLLIN);
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, ECONNRESET);
}
