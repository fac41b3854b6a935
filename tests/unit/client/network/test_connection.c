/* SPDX-License-Identifier: MIT */
/* One socket and its connection to one address. */

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/network/connection.h"
#include "fault.h"
#include "lib/clock.h"

FAULT(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
FAULT_OPTION()
FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))

/* The listener whose queue gets room while the process has no processor, from its first attempt to
 * connect until an hour later; -1 for none. */
static int stalled = -1;
static uint64_t lost;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *time) {
        const int r = (int)syscall(GETTIME, clock, time);

        time->tv_sec += (time_t)(lost / CLOCK_SECOND);
        return r;
}

/* In place of the C library's. */
int connect(int fd, const struct sockaddr *name, socklen_t length) {
        const int r = (int)syscall(SYS_connect, fd, name, length), error = errno;

        if (r < 0 && error == EAGAIN && stalled >= 0) {
                close(accept(stalled, NULL, NULL));
                stalled = -1;
                lost += 3600 * CLOCK_SECOND;
        }
        errno = error;
        return r;
}

/* The errno that a connection of a domain ends with, 0 for its own. */
static int ended, ended_domain;

/* In place of the C library's. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
        if (ended == 0 || level != SOL_SOCKET || (name != SO_ERROR && name != SO_DOMAIN))
                return (int)syscall(SYS_getsockopt, fd, level, name, value, length);
        memcpy(value, name == SO_ERROR ? &ended : &ended_domain, sizeof ended);
        return 0;
}

static int get(int fd, int level, int option) {
        int value = -1;

        assert_int_equal(getsockopt(fd, level, option, &value, &(socklen_t){ sizeof value }), 0);
        return value;
}

static int listen_on(Endpoint *endpoint, int family, int backlog) {
        int listener = socket(family, SOCK_STREAM, 0);

        *endpoint = (Endpoint){ .any.sa_family = (sa_family_t)family,
                                .length = family == AF_UNIX ? sizeof(sa_family_t)
                                                            : sizeof(struct sockaddr_in6) };
        if (family == AF_INET6)
                endpoint->ipv6.sin6_addr = in6addr_loopback;
        if (family == AF_INET)
                endpoint->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        /* A Unix socket without a name gets an abstract one. */
        assert_int_equal(bind(listener, &endpoint->any, endpoint->length), 0);
        endpoint->length = sizeof *endpoint - sizeof endpoint->length;
        assert_int_equal(getsockname(listener, &endpoint->any, &endpoint->length), 0);
        assert_int_equal(listen(listener, backlog), 0);
        return listener;
}

/* Small messages are sent at once, marks are set, and the port is chosen as late as it can be. */
static void test_options(void **state) {
        Endpoint endpoint;
        int listener = listen_on(&endpoint, AF_INET, 5), fd;
        ConnectionOptions options = { .interrupt = -1, .dscp = 46, .ttl = 9 };

        (void)state;
        options.source.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
                                                    .sin_addr.s_addr = htonl(0x7f000102) };
        options.source.length = sizeof options.source.ipv4;
        fd = connection_open(&endpoint, &options);
        assert_true(fd >= 0);
        assert_int_equal(get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        assert_int_equal(get(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);
        assert_int_equal(get(fd, IPPROTO_IP, IP_TOS), 46 << 2);
        assert_int_equal(get(fd, IPPROTO_IP, IP_TTL), 9);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        close(fd);
        close(listener);
}

/* An option that the kernel refuses fails the connection: packets without their mark, their hops or
 * their interface would go another way. So does a missing socket or name. */
static void test_refused(void **state) {
        const ConnectionOptions options = { .interrupt = -1, .dscp = 46, .ttl = 9, .device = "lo" };
        const ConnectionOptions datagrams = { .interrupt = -1, .datagram = true };
        static const struct {
                int level, name;
        } marks[] = { { SOL_SOCKET, SO_BINDTODEVICE },
                      { IPPROTO_IP, IP_TOS },
                      { IPPROTO_IP, IP_TTL } };
        const Endpoint local = { .any.sa_family = AF_UNIX, .length = sizeof(sa_family_t) };
        Endpoint endpoint;
        const int listener = listen_on(&endpoint, AF_INET, 5), lowest = dup(listener);

        (void)state;
        close(lowest);
        for (size_t i = 0; i < COUNT(marks); i++) {
                option_refused.level = marks[i].level;
                option_refused.name = marks[i].name;
                assert_int_equal(connection_open(&endpoint, &options), -EPERM);
        }
        option_refused.name = 0;
        socket_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(connection_open(&endpoint, &options), -EMFILE);
        bind_fault = (CallFault){ .error = ENOBUFS, .times = 1 };
        assert_int_equal(connection_open(&local, &datagrams), -ENOBUFS);
        assert_int_equal(connection_finish(-1), -EBADF);
        assert_int_equal(dup(listener), lowest);
        close(lowest);
        close(listener);
}

/* A Unix socket whose queue is full is no reason to wait, unless for the timeout. */
static void test_full_queue(void **state) {
        ConnectionOptions options = { .interrupt = -1, .timeout = 20 * CLOCK_MILLISECOND };
        Endpoint endpoint;
        int listener = listen_on(&endpoint, AF_UNIX, 0), first;
        uint64_t start = clock_now();
        bool pending = true;

        (void)state;
        first = connection_begin(&endpoint, &options, &pending);
        assert_true(first >= 0 && !pending);
        assert_int_equal(connection_begin(&endpoint, &options, &pending), -EAGAIN);
        assert_int_equal(connection_open(&endpoint, &options), -ETIME);
        assert_true(clock_now() - start >= options.timeout);
        close(first);
        close(accept(listener, NULL, NULL));
        first = connection_open(&endpoint, &options);
        assert_true(first >= 0);
        close(first);
        close(listener);
}

/* The last attempt at a full queue begins after the deadline. */
static void test_last_attempt(void **state) {
        const ConnectionOptions options = { .interrupt = -1, .timeout = 60 * CLOCK_SECOND };
        Endpoint endpoint;
        const int listener = listen_on(&endpoint, AF_UNIX, 0);
        const int first = connection_open(&endpoint, &options);
        int fd;

        (void)state;
        assert_true(first >= 0);
        stalled = listener;
        fd = connection_open(&endpoint, &options);
        assert_true(fd >= 0);
        assert_int_equal(stalled, -1);
        close(fd);
        close(first);
        close(listener);
}

/* A Unix socket of datagrams has a name, to which its peer can answer. */
static void test_datagrams(void **state) {
        const ConnectionOptions options = { .interrupt = -1, .datagram = true };
        Endpoint endpoint = { .any.sa_family = AF_UNIX, .length = sizeof(sa_family_t) }, from;
        int peer = socket(AF_UNIX, SOCK_DGRAM, 0), fd;
        bool pending = true;
        char byte = 0;

        (void)state;
        assert_int_equal(bind(peer, &endpoint.any, endpoint.length), 0);
        endpoint.length = from.length = sizeof endpoint - sizeof endpoint.length;
        assert_int_equal(getsockname(peer, &endpoint.any, &endpoint.length), 0);
        fd = connection_begin(&endpoint, &options, &pending);
        assert_true(fd >= 0 && !pending);
        assert_int_equal(send(fd, "1", 1, 0), 1);
        assert_int_equal(recvfrom(peer, &byte, 1, 0, &from.any, &from.length), 1);
        assert_int_equal(sendto(peer, "2", 1, 0, &from.any, from.length), 1);
        assert_int_equal(recv(fd, &byte, 1, 0), 1);
        assert_int_equal(byte, '2');
        close(fd);
        close(peer);
}

/* The interface is that of the socket, and IPv6 has options of its own for the marks. */
static void test_options_of_ipv6(void **state) {
        ConnectionOptions options = { .interrupt = -1, .dscp = 46, .ttl = 9, .device = "lo" };
        char device[IF_NAMESIZE] = "";
        Endpoint endpoint;
        int listener = listen_on(&endpoint, AF_INET6, 5), fd;

        (void)state;
        fd = connection_open(&endpoint, &options);
        assert_true(fd >= 0);
        assert_int_equal(get(fd, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
        assert_int_equal(get(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device,
                                    &(socklen_t){ sizeof device }),
                         0);
        assert_string_equal(device, "lo");
        close(fd);
        close(listener);
}

/* Nobody listens; the interrupt has come; the families differ. */
static void test_errors(void **state) {
        ConnectionOptions options = { .interrupt = -1 };
        Endpoint endpoint, local;
        int listener = listen_on(&endpoint, AF_INET, 5), queue, first, fds[2];

        (void)state;
        close(listener);
        assert_int_equal(connection_open(&endpoint, &options), -ECONNREFUSED);
        options.source.ipv6.sin6_family = AF_INET6;
        options.source.length = sizeof options.source.ipv6;
        assert_int_equal(connection_open(&endpoint, &options), -EAFNOSUPPORT);

        options = (ConnectionOptions){ .interrupt = -1 };
        queue = listen_on(&local, AF_UNIX, 0);
        first = connection_open(&local, &options);
        assert_int_equal(pipe(fds), 0);
        close(fds[1]);
        options.interrupt = fds[0];
        assert_int_equal(connection_open(&local, &options), -EINTR);
        close(fds[0]);
        close(first);
        close(queue);
}

/* The limit of each address, and that of everything, whichever comes first. */
static void test_end(void **state) {
        (void)state;
        assert_true(connection_end(&(ConnectionOptions){}, 5) == CLOCK_NEVER);
        assert_int_equal(connection_end(&(ConnectionOptions){ .timeout = 7 }, 5), 12);
        assert_int_equal(connection_end(&(ConnectionOptions){ .timeout = 7, .end = 9 }, 5), 9);
        assert_int_equal(connection_end(&(ConnectionOptions){ .timeout = 7, .end = 90 }, 5), 12);
        assert_int_equal(connection_end(&(ConnectionOptions){ .end = 9 }, 5), 9);
}

/* An end that the network sends is never an error of this machine, whatever the ICMP error. A reset
 * is a missing listener of vsock(7) alone. */
static void test_finish(void **state) {
        static const struct {
                int error;
                int result;
        } cases[] = { { ECONNREFUSED, -ECONNREFUSED }, { ETIMEDOUT, -ETIMEDOUT },
                      { ENETUNREACH, -ENETUNREACH },   { ECONNRESET, -ECONNRESET },
                      { EACCES, -EHOSTUNREACH },       { EPROTO, -EHOSTUNREACH },
                      { ENOPROTOOPT, -EHOSTUNREACH } };

        (void)state;
        ended_domain = AF_INET;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                ended = cases[i].error;
                assert_int_equal(connection_finish(-1), cases[i].result);
        }
        ended = ECONNRESET;
        ended_domain = AF_VSOCK;
        assert_int_equal(connection_finish(-1), -ECONNREFUSED);
        ended = 0;
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options),    cmocka_unit_test(test_options_of_ipv6),
                cmocka_unit_test(test_full_queue), cmocka_unit_test(test_last_attempt),
                cmocka_unit_test(test_errors),     cmocka_unit_test(test_end),
                cmocka_unit_test(test_datagrams),  cmocka_unit_test(test_refused),
                cmocka_unit_test(test_finish),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
