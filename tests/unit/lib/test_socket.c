/* SPDX-License-Identifier: MIT */
/* Questions about sockets, and an abrupt end. */

#include "lib/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fdpass.h"
#include "peer.h"
#include "unit.h"

/* Each socket has a cookie of its own, which its duplicates share; other files have none. */
static void test_cookie(void **state) {
        int pair[2], fd = memfd_create("none", MFD_CLOEXEC);

        (void)state;
        peer_pair_tcp(pair);
        assert_true(socket_cookie(pair[0]) != 0);
        assert_true(socket_cookie(pair[0]) != socket_cookie(pair[1]));
        assert_true(socket_cookie(fd) == 0);
        assert_true(socket_cookie(-1) == 0);
        assert_int_equal(dup2(pair[0], fd), fd);
        assert_true(socket_cookie(fd) == socket_cookie(pair[0]));
        close(pair[0]);
        close(pair[1]);
        close(fd);
}

static void expect_kind(int fd, bool stream) {
        assert_int_equal(socket_is_stream(fd), stream);
}

/* A connection is a stream socket that does not listen; it stays one once it
 * was reset. */
static void test_connections(void **state) {
        int tcp[2], local[2];

        (void)state;
        peer_pair_tcp(tcp);
        peer_pair(local);
        expect_kind(tcp[1], true);
        expect_kind(local[1], true);
        socket_set_reset(tcp[0]);
        close(tcp[0]);
        peer_expect_reset(tcp[1]);
        expect_kind(tcp[1], true);
        close(tcp[1]);
        close(local[0]);
        close(local[1]);
}

/* Listeners, sockets of other types and other files are no streams. */
static void test_strangers(void **state) {
        static const int types[][2] = { { AF_INET, SOCK_DGRAM },
                                        { AF_UNIX, SOCK_DGRAM },
                                        { AF_UNIX, SOCK_SEQPACKET } };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)state;
        expect_kind(fd, true);
        assert_int_equal(listen(fd, 1), 0);
        expect_kind(fd, false);
        close(fd);
        for (size_t i = 0; i < COUNT(types); i++) {
                fd = socket(types[i][0], types[i][1] | SOCK_CLOEXEC, 0);
                assert_true(fd >= 0);
                expect_kind(fd, false);
                close(fd);
        }
        fd = memfd_create("none", MFD_CLOEXEC);
        expect_kind(fd, false);
        close(fd);
        expect_kind(-1, false);
}

/* Datagrams come over UDP and Unix sockets; neither streams, nor packets in sequence, nor the
 * kernel's messages (netlink(7)) are any. */
static void test_datagrams(void **state) {
        static const struct {
                int domain, type;
                bool is;
        } cases[] = {
                { AF_INET, SOCK_DGRAM, true },      { AF_INET6, SOCK_DGRAM, true },
                { AF_UNIX, SOCK_DGRAM, true },      { AF_INET, SOCK_STREAM, false },
                { AF_INET6, SOCK_STREAM, false },   { AF_UNIX, SOCK_STREAM, false },
                { AF_UNIX, SOCK_SEQPACKET, false }, { AF_NETLINK, SOCK_DGRAM, false },
        };

        (void)state;
        assert_false(socket_is_datagram(-1));
        for (size_t i = 0; i < COUNT(cases); i++) {
                int fd = socket(cases[i].domain, cases[i].type | SOCK_CLOEXEC, 0);

                assert_true(fd >= 0);
                assert_int_equal(socket_is_datagram(fd), cases[i].is);
                close(fd);
        }
}

/* The kernel gets the time in its own unit, for the direction in question. */
static void test_limits(void **state) {
        struct timeval time = {};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof time;

        (void)state;
        socket_set_timeout(fd, SO_SNDTIMEO, 1500 * CLOCK_MILLISECOND);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &size), 0);
        assert_int_equal(time.tv_sec, 1);
        assert_int_equal(time.tv_usec, 500000);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &size), 0);
        assert_int_equal(time.tv_sec + time.tv_usec, 0);
        close(fd);
}

/* The reset comes with the last close(2), and not before; or not at all. */
static void test_reset(void **state) {
        int pair[2], copy;

        (void)state;
        peer_pair_tcp(pair);
        copy = dup(pair[1]);
        socket_reset(pair[1]);
        assert_int_equal(send(pair[0], "x", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(recv(copy, &(char){ 0 }, 1, 0), 1);
        close(copy);
        peer_expect_reset(pair[0]);
        close(pair[0]);

        peer_pair_tcp(pair);
        socket_set_reset(pair[1]);
        socket_unset_reset(pair[1]);
        close(pair[1]);
        peer_expect_end(pair[0]);
        close(pair[0]);
}

/* Bytes, an end and an error can be read; nothing can where nothing has come. */
static void test_readable(void **state) {
        int tcp[2], local[2];

        (void)state;
        peer_pair_tcp(tcp);
        peer_pair(local);
        assert_false(socket_is_readable(tcp[1]));
        assert_false(socket_is_readable(local[1]));
        assert_false(socket_is_readable(-1));
        peer_send(local[0], "a", 1);
        assert_true(socket_is_readable(local[1]));
        close(local[0]);
        assert_int_equal(peer_receive(local[1], &(char){ 0 }, 1), 1);
        assert_true(socket_is_readable(local[1]));
        close(local[1]);
        socket_set_reset(tcp[0]);
        close(tcp[0]);
        assert_true(socket_is_readable(tcp[1]));
        close(tcp[1]);
}

/* A socket is writable until its buffer is full. */
static void test_writable(void **state) {
        static const char bytes[4096];
        int pair[2];

        (void)state;
        peer_pair(pair);
        assert_true(socket_is_writable(pair[0]));
        while (send(pair[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
                ;
        assert_false(socket_is_writable(pair[0]));
        close(pair[0]);
        close(pair[1]);
}

/* A message with a descriptor does not come, where the kernel can refuse it, until it is permitted
 * again; others do. */
static void test_descriptors(void **state) {
        const int fd = STDIN_FILENO;
        int pair[2], value;

        (void)state;
        peer_pair(pair);
        socket_refuse_descriptors(pair[1]);
        if (getsockopt(pair[1], SOL_SOCKET, OPTION_PASSRIGHTS, &value,
                       &(socklen_t){ sizeof value }) == 0)
                assert_int_equal(fdpass_send(pair[0], NULL, "x", 1, &fd, 1, 0), -EPERM);
        peer_send(pair[0], "y", 1);
        assert_int_equal(peer_receive(pair[1], &(char){ 0 }, 1), 1);
        socket_permit_descriptors(pair[1]);
        assert_int_equal(fdpass_send(pair[0], NULL, "x", 1, &fd, 1, 0), 0);
        close(pair[0]);
        close(pair[1]);
        peer_pair_tcp(pair);
        socket_refuse_descriptors(pair[1]);
        close(pair[0]);
        close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cookie),      cmocka_unit_test(test_connections),
                cmocka_unit_test(test_strangers),   cmocka_unit_test(test_datagrams),
                cmocka_unit_test(test_limits),      cmocka_unit_test(test_reset),
                cmocka_unit_test(test_readable),    cmocka_unit_test(test_writable),
                cmocka_unit_test(test_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
