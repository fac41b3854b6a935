/* SPDX-License-Identifier: MIT */
/* How sockets are opened. test_listeners.c has their kinds and their texts. */

#include "start/bind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "journald.h"
#include "peer.h"
#include "sockets.h"
#include "unit.h"

static Journald directory; /* for its temporary directory only */
static char path[100];
static bool without_ipv6;
static CallFault socket_fault;

/* In place of the C library's: a machine without IPv6, or without descriptors. */
int socket(int family, int type, int protocol) {
        static int (*real)(int, int, int);

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "socket");
        if (family == AF_INET6 && without_ipv6) {
                errno = EAFNOSUPPORT;
                return -1;
        }
        if (fault_strikes(&socket_fault))
                return -1;
        return real(family, type, protocol);
}

FAULT(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
FAULT(int, connect, connect, (int fd, const struct sockaddr *name, socklen_t length),
      (fd, name, length))
FAULT(int, lstat, lstat64, (const char *name, struct stat *status), (name, status))
FAULT(int, unlink, unlink, (const char *name), (name))

static int set_up(void **state) {
        (void)state;
        journald_start(&directory);
        snprintf(path, sizeof path, "%s/echo", directory.directory);
        return 0;
}

static int tear_down(void **state) {
        (void)state;
        (void)unlink(path);
        without_ipv6 = false;
        journald_stop(&directory);
        return 0;
}

static int try_at(const char *text, int type) {
        Endpoint endpoint;
        const char *why;

        assert_int_equal(endpoint_parse(text, &endpoint, &why), 0);
        return bind_open(&endpoint, type);
}

static int open_at(const char *text) {
        int listener = try_at(text, SOCK_STREAM);

        assert_true(listener >= 0);
        assert_int_equal(fcntl(listener, F_GETFD), FD_CLOEXEC);
        return listener;
}

static void format(int fd, char text[static ENDPOINT_TEXT_SIZE]) {
        Endpoint endpoint;

        assert_int_equal(endpoint_from_socket(fd, &endpoint), 0);
        endpoint_format(&endpoint, text);
}

/* The buffer that the kernel sets for @size bytes: twice as many, or twice its limit in @limit. */
static int buffer_of(int size, const char *limit) {
        FILE *file = fopen(limit, "re");
        int most = 0;

        assert_non_null(file);
        assert_int_equal(fscanf(file, "%d", &most), 1);
        (void)fclose(file);
        return 2 * (size < most ? size : most);
}

/* Connections send small messages at once, find out dead peers in two minutes, and cost no more
 * memory than those of mpecho.socket. */
static void test_connection(void **state) {
        const int listener = open_at("127.0.0.1:0");
        int client = peer_connect(peer_port(listener), INADDR_LOOPBACK), fd;

        (void)state;
        peer_wait_readable(listener);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
        assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF),
                         buffer_of(512 * 1024, "/proc/sys/net/core/wmem_max"));
        assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF),
                         buffer_of(256 * 1024, "/proc/sys/net/core/rmem_max"));
        close(fd);
        close(client);
        close(listener);
}

/* A port that a connection was on a moment ago can be listened on. */
static void test_again(void **state) {
        int listener = open_at("127.0.0.1:0"), client, fd;
        char again[ENDPOINT_TEXT_SIZE];

        (void)state;
        format(listener, again);
        client = peer_connect(peer_port(listener), INADDR_LOOPBACK);
        peer_wait_readable(listener);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        /* The service closes first: its end waits (TIME-WAIT, RFC 9293). */
        close(fd);
        peer_expect_end(client);
        close(client);
        close(listener);
        close(open_at(again));
}

/* A port alone takes IPv4, with IPv6 on the machine, without it, or without its addresses. No
 * socket of the vain attempt is left. */
static void test_wildcard(void **state) {
        const int before = next_descriptor();

        (void)state;
        for (int i = 0; i < 3; i++) {
                char text[ENDPOINT_TEXT_SIZE];
                int listener;
                bool ipv6;

                without_ipv6 = i == 1;
                bind_fault = (CallFault){ .error = EADDRNOTAVAIL, .times = i == 2 };
                listener = open_at("0");
                format(listener, text);
                ipv6 = option(listener, SOL_SOCKET, SO_DOMAIN) == AF_INET6;
                assert_false(ipv6 && i > 0);
                assert_int_equal(strncmp(text, ipv6 ? "[::]:" : "0.0.0.0:", ipv6 ? 5 : 8), 0);
                close(peer_connect(peer_port(listener), INADDR_LOOPBACK));
                close(listener);
                assert_int_equal(next_descriptor(), before);
        }
}

/* An IPv6 address is never IPv4 instead: without IPv6 it cannot be listened on. */
static void test_ipv6_only(void **state) {
        int listener = try_at("[::]:0", SOCK_STREAM);

        (void)state;
        if (listener >= 0) {
                assert_int_equal(option(listener, IPPROTO_IPV6, IPV6_V6ONLY), 1);
                close(listener);
        }
        without_ipv6 = true;
        assert_int_equal(try_at("[::]:0", SOCK_STREAM), -EAFNOSUPPORT);
}

/* A socket file that nobody listens on is replaced, where it can be looked at and removed; one that
 * is listened on, a file and a link to a socket are left alone. */
static void test_stale(void **state) {
        int listener = open_at(path), fd;
        struct stat status;

        (void)state;
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        assert_int_equal(connect_local(path), 0);
        connect_fault = (CallFault){ .error = EACCES, .times = 1 };
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        assert_int_equal(connect_local(path), 0);
        close(listener);
        assert_int_equal(connect_local(path), -1);
        lstat_fault = (CallFault){ .error = EACCES, .times = 1 };
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        socket_fault = (CallFault){ .error = EMFILE, .after = 1, .times = 1 };
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        unlink_fault = (CallFault){ .error = EACCES, .times = 1 };
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        assert_int_equal(lstat_fault.times + socket_fault.times + unlink_fault.times, 0);
        listener = open_at(path);
        assert_int_equal(connect_local(path), 0);
        close(listener);
        assert_int_equal(unlink(path), 0);

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(directory.name.sun_path, path), 0);
        assert_int_equal(try_at(path, SOCK_STREAM), -EADDRINUSE);
        assert_int_equal(lstat(path, &status), 0);
        assert_true(S_ISLNK(status.st_mode));
}

/* Answers have as much room as the user may give them: root more than others. */
static void test_send_buffer(void **state) {
        const uid_t users[] = { geteuid(), 65534 };

        (void)state;
        for (size_t i = 0; i < COUNT(users) && seteuid(users[i]) == 0; i++) {
                int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), most = 32 << 20;
                int opened;

                if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most) < 0)
                        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
                opened = try_at("127.0.0.1:0", SOCK_DGRAM);
                assert_true(opened >= 0);
                assert_int_equal(option(opened, SOL_SOCKET, SO_SNDBUF),
                                 option(fd, SOL_SOCKET, SO_SNDBUF));
                close(opened);
                close(fd);
                assert_int_equal(seteuid(users[0]), 0);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_connection), TEST(test_again), TEST(test_wildcard),
                TEST(test_ipv6_only),  TEST(test_stale), TEST(test_send_buffer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
