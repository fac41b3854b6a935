/* SPDX-License-Identifier: MIT */
/* The addresses of a target: when each is tried, and which one wins. Time is the test's own. */

#include "client/network/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "fault.h"
#include "lib/clock.h"
#include "unit.h"

enum {
        MOST = 4,
};

/* An address, and what becomes of its connection: it answers so long after connect(2), or never
 * with 0, or is refused at once. */
typedef struct Place {
        const char *address;
        uint64_t answers;
        bool refuses;
} Place;

static const Place *places;
static size_t n_places;
static uint64_t now;
/* How long a look-up takes. */
static uint64_t look_up;
/* The connections, in their order. */
static const Place *tried[MOST];
static uint64_t instants[MOST];
static size_t n_tried;

/* These are in place of the C library's, and of inquiry.c. */

FAULT(ssize_t, send, send, (int fd, const void *data, size_t size, int flags),
      (fd, data, size, flags))
FAULT(int, socket, socket, (int family, int type, int protocol), (family, type, protocol))

int clock_gettime(clockid_t clock, struct timespec *time) {
        (void)clock;
        *time = (struct timespec){ .tv_sec = (time_t)(now / CLOCK_SECOND),
                                   .tv_nsec = (long)(now % CLOCK_SECOND) };
        return 0;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret_found) {
        static struct addrinfo found[MOST];
        static Endpoint endpoints[MOST];

        (void)host;
        (void)port;
        (void)hints;
        for (size_t i = 0; i < n_places; i++) {
                const bool ipv6 = strchr(places[i].address, ':') != NULL;

                endpoints[i] = (Endpoint){ .any.sa_family = ipv6 ? AF_INET6 : AF_INET };
                (void)inet_pton(endpoints[i].any.sa_family, places[i].address,
                                ipv6 ? (void *)&endpoints[i].ipv6.sin6_addr
                                     : (void *)&endpoints[i].ipv4.sin_addr);
                found[i] = (struct addrinfo){ .ai_addr = &endpoints[i].any,
                                              .ai_addrlen = ipv6 ? sizeof endpoints[i].ipv6
                                                                 : sizeof endpoints[i].ipv4,
                                              .ai_next = i + 1 < n_places ? &found[i + 1] : NULL };
        }
        *ret_found = found;
        now += look_up;
        return 0;
}

void freeaddrinfo(struct addrinfo *found) {
        (void)found;
}

/* Finds the place by its address: the order of the connections is what is tested. */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
        char text[INET6_ADDRSTRLEN];

        (void)fd;
        assert_int_equal(getnameinfo(address, length, text, sizeof text, NULL, 0, NI_NUMERICHOST),
                         0);
        assert_true(n_tried < MOST);
        for (size_t i = 0; i < n_places; i++)
                if (strcmp(places[i].address, text) == 0)
                        tried[n_tried] = &places[i];
        instants[n_tried++] = now;
        errno = tried[n_tried - 1]->refuses ? ECONNREFUSED : EINPROGRESS;
        return -1;
}

/* Lets time pass until a connection comes about, or until @end. Who does not sleep spins. */
int inquiry_poll(struct pollfd *polled, nfds_t count, uint64_t end) {
        size_t first = MOST;

        assert_true(end > now);
        assert_true(end != CLOCK_NEVER);
        for (nfds_t i = 0; i < count; i++) {
                polled[i].revents = 0;
                if (i + 1 == count || polled[i].fd < 0 || tried[i]->answers == 0 ||
                    instants[i] + tried[i]->answers > end)
                        continue;
                end = instants[i] + tried[i]->answers;
                first = i;
        }
        now = end;
        if (first == MOST)
                return 0;
        polled[first].revents = POLLOUT;
        return 1;
}

void inquiry_ignore(void) {
}

static const Target target = { .host = "host", .port = 7 };
static Path path;

static int open_with(const Place *those, size_t n, const ConnectionOptions *options,
                     Failure *ret_failure) {
        places = those;
        n_places = n;
        n_tried = 0;
        now = 1000 * CLOCK_SECOND;
        path = (Path){};
        return path_open(&target, options, &path, ret_failure);
}

/* Opens a connection to one of @n @those, of which each has a second. */
static int open_to(const Place *those, size_t n, bool race) {
        const ConnectionOptions options = { .interrupt = -1,
                                            .race = race,
                                            .timeout = CLOCK_SECOND };
        Failure failure = {};

        return open_with(those, n, &options, &failure);
}

static void expect_tried(size_t i, const char *address, uint64_t milliseconds) {
        assert_true(i < n_tried);
        assert_string_equal(tried[i]->address, address);
        assert_int_equal(instants[i] - 1000 * CLOCK_SECOND, milliseconds * CLOCK_MILLISECOND);
}

static const Place silent[] = {
        { .address = "2001:db8::1" },
        { .address = "2001:db8::2" },
        { .address = "192.0.2.1" },
};

/* Without a race an address is tried when the time of the one before is over. */
static void test_in_turn(void **state) {
        (void)state;
        assert_int_equal(open_to(silent, COUNT(silent), false), -ETIME);
        assert_int_equal(n_tried, 3);
        expect_tried(0, "2001:db8::1", 0);
        expect_tried(1, "2001:db8::2", 1000);
        expect_tried(2, "192.0.2.1", 2000);
        assert_int_equal(now - 1000 * CLOCK_SECOND, 3 * CLOCK_SECOND);
        assert_int_equal(path.failed_count, 3);
}

/* In a race the families alternate, and an address is tried 250 ms after the one before. Each has
 * its whole time, in which the race sleeps. */
static void test_race(void **state) {
        (void)state;
        assert_int_equal(open_to(silent, COUNT(silent), true), -ETIME);
        assert_int_equal(n_tried, 3);
        expect_tried(0, "2001:db8::1", 0);
        expect_tried(1, "192.0.2.1", 250);
        expect_tried(2, "2001:db8::2", 500);
        assert_int_equal(now - 1000 * CLOCK_SECOND, 1500 * CLOCK_MILLISECOND);
        assert_int_equal(path.failed_count, 3);
}

/* The first answer wins, whichever address it is from, and times count from its own start. */
static void test_winner(void **state) {
        static const Place late[] = {
                { .address = "2001:db8::1", .answers = 900 * CLOCK_MILLISECOND },
                { .address = "192.0.2.1", .answers = 300 * CLOCK_MILLISECOND },
                { .address = "192.0.2.2", .answers = 200 * CLOCK_MILLISECOND },
        };
        const int before = dup(0);
        int fd;

        (void)state;
        close(before);
        fd = open_to(late, COUNT(late), true);
        assert_true(fd >= 0);
        assert_int_equal(n_tried, 3);
        expect_tried(2, "192.0.2.2", 500);
        assert_int_equal(now - 1000 * CLOCK_SECOND, 550 * CLOCK_MILLISECOND);
        assert_string_equal(path.peer, "192.0.2.1:0");
        assert_int_equal(path.start - 1000 * CLOCK_SECOND, 250 * CLOCK_MILLISECOND);
        assert_int_equal(path.connect, 300 * CLOCK_MILLISECOND);
        assert_int_equal(path.failed_count, 0);
        close(fd);
        /* The others' sockets are closed. */
        fd = dup(0);
        assert_int_equal(fd, before);
        close(fd);
}

/* An address that refuses is followed by the next one at once. */
static void test_refused(void **state) {
        static const Place refusing[] = {
                { .address = "192.0.2.1", .refuses = true },
                { .address = "192.0.2.2", .refuses = true },
                { .address = "192.0.2.3", .answers = 100 * CLOCK_MILLISECOND },
        };
        int fd;

        (void)state;
        for (int race = 0; race < 2; race++) {
                fd = open_to(refusing, COUNT(refusing), race);
                assert_true(fd >= 0);
                expect_tried(2, "192.0.2.3", 0);
                assert_int_equal(path.connect, 100 * CLOCK_MILLISECOND);
                assert_int_equal(path.failed_count, 2);
                close(fd);
                assert_int_equal(open_to(refusing, 2, race), -ECONNREFUSED);
        }
}

/* The look-up of the name has a time of its own, and a connection does not include it. */
static void test_look_up(void **state) {
        static const Place place = { .address = "192.0.2.1", .answers = 300 * CLOCK_MILLISECOND };
        int fd;

        (void)state;
        look_up = 40 * CLOCK_MILLISECOND;
        fd = open_to(&place, 1, false);
        look_up = 0;
        assert_true(fd >= 0);
        assert_int_equal(path.resolve, 40 * CLOCK_MILLISECOND);
        assert_int_equal(path.connect, 300 * CLOCK_MILLISECOND);
        close(fd);
}

static void expect_reason(int error, const char *address, const ConnectionOptions *options,
                          const char *reason) {
        const Place place = { .address = address };
        Failure failure = {};
        char text[FAILURE_TEXT_SIZE];

        socket_fault = (CallFault){ .error = error, .times = 1 };
        assert_int_equal(open_with(&place, 1, options, &failure), -error);
        assert_int_equal(socket_fault.times, 0);
        snprintf(text, sizeof text, "Cannot connect to host port 7: %s", reason);
        assert_string_equal(failure.text, text);
}

/* The reason is the user's option, or what the address lacks, where that explains the error, and
 * the error itself elsewhere. */
static void test_reasons(void **state) {
        const ConnectionOptions none = { .interrupt = -1 };
        const ConnectionOptions mptcp = { .interrupt = -1, .mptcp = true };
        const char *lacks = "the kernel of this machine lacks Multipath TCP";
        const char *excludes = "--mptcp excludes --ttl and, over IPv6, --dscp";
        const char *zone = "the address needs its zone, the interface, as in fe80::1%eth0";

        (void)state;
        expect_reason(EPROTONOSUPPORT, "192.0.2.1", &mptcp, lacks);
        expect_reason(ENOPROTOOPT, "192.0.2.1", &mptcp, lacks);
        expect_reason(ENOPROTOOPT, "192.0.2.1", &none, strerror(ENOPROTOOPT));
        expect_reason(EOPNOTSUPP, "192.0.2.1", &mptcp, excludes);
        expect_reason(EOPNOTSUPP, "192.0.2.1", &none, strerror(EOPNOTSUPP));
        expect_reason(EAFNOSUPPORT, "2001:db8::1", &none, strerror(EAFNOSUPPORT));
        expect_reason(EINVAL, "fe80::1", &none, zone);
        expect_reason(EINVAL, "2001:db8::1", &none, strerror(EINVAL));
        expect_reason(EINVAL, "192.0.2.1", &none, strerror(EINVAL));
}

/* An address of another family than --source is not tried, also where the check of --source has no
 * socket. One of another machine is named. */
static void test_source(void **state) {
        static const Place place = { .address = "2001:db8::1" };
        ConnectionOptions options = { .interrupt = -1 };
        Failure failure = {};

        (void)state;
        options.source.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
                                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        options.source.length = sizeof options.source.ipv4;
        for (int lacking = 0; lacking < 2; lacking++) {
                socket_fault = (CallFault){ .error = EMFILE, .times = lacking };
                assert_int_equal(open_with(&place, 1, &options, &failure), -EAFNOSUPPORT);
                assert_string_equal(failure.text,
                                    "Cannot connect to host port 7: the address family differs "
                                    "from that of --source");
        }
        options.source.ipv4.sin_addr.s_addr = inet_addr("192.0.2.7");
        assert_int_equal(open_with(&place, 1, &options, &failure), -EADDRNOTAVAIL);
        assert_string_equal(failure.text, "Cannot use source address 192.0.2.7: Cannot assign "
                                          "requested address");
        assert_int_equal(n_tried, 0);
}

/* A peer that resets the connection before it has the PROXY header is the reason, not this machine.
 */
static void test_header(void **state) {
        static const Place place = { .address = "192.0.2.1", .answers = CLOCK_MILLISECOND };
        ConnectionOptions options = { .interrupt = -1, .timeout = CLOCK_SECOND };
        Failure failure = {};

        (void)state;
        assert_int_equal(proxy_header_parse("1,192.0.2.7:9,192.0.2.1:7", &options.proxy_header), 0);
        send_fault = (CallFault){ .error = ECONNRESET, .times = 1 };
        assert_int_equal(open_with(&place, 1, &options, &failure), -ECONNRESET);
        assert_int_equal(send_fault.times, 0);
        assert_int_equal(failure.kind, FAILURE_RESET);
        assert_string_equal(failure.text,
                            "Cannot connect to host port 7: Connection reset by peer");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reasons), cmocka_unit_test(test_source),
                cmocka_unit_test(test_in_turn), cmocka_unit_test(test_race),
                cmocka_unit_test(test_header),  cmocka_unit_test(test_winner),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_look_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
