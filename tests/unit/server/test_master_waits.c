/* SPDX-License-Identifier: MIT */
/* What the process that accepts, forks and reaps waits for, by a clock that only waits move. */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/ppoll.h"
#include "peer.h"
#include "process.h"
#include "server/master.h"
#include "service.h"
#include "unit.h"

static Service service;

static uint64_t now = CLOCK_SECOND;
/* Waits end at once and move the clock, unless something has come. */
static bool skipped;
/* The last wait, and what it found. */
static uint64_t waited;
static int found;
/* The socket that has listened last: that of the channels to the master. */
static int channels;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *ret_time) {
        (void)clock;
        *ret_time = clock_timespec(now);
        return 0;
}

int listen(int fd, int backlog) {
        channels = fd;
        return (int)syscall(SYS_listen, fd, backlog);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
        assert_null(mask);
        waited = timeout == NULL ? CLOCK_NEVER
                                 : (uint64_t)timeout->tv_sec * CLOCK_SECOND +
                                                   (uint64_t)timeout->tv_nsec;
        found = poll(fds, n, skipped ? 0 : clock_timeout(0, waited));
        if (skipped && found == 0 && waited != CLOCK_NEVER)
                now += waited;
        return found;
}

static void start(void) {
        static char stream[] = "127.0.0.1:0", datagrams[] = "udp:127.0.0.1:0";
        static char proxy[] = "proxy:127.0.0.1:0";
        static char *listen[] = { stream, datagrams, proxy };
        const Options options = { .max_connections = 10,
                                  .max_per_source = 5,
                                  .max_datagrams_per_source = 10,
                                  .listen = listen,
                                  .n_listen = COUNT(listen) };

        service_start_master(&service, &options);
        /* The first turn starts the handler of the datagrams. */
        assert_int_equal(master_turn(service.master, 0), MASTER_RUNNING);
}

static void stop(void) {
        skipped = false;
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        service_turn_until_done(&service);
        service_stop(&service);
}

/* Asserts that nothing wakes the master for @duration. */
static void expect_wait(uint64_t duration) {
        skipped = true;
        assert_int_equal(master_turn(service.master, CLOCK_NEVER), MASTER_RUNNING);
        assert_int_equal(found, 0);
        assert_int_equal(waited, duration);
}

static void hear_news(void *unused) {
        struct sockaddr_in name;
        socklen_t length = sizeof name;
        int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char echo[8];

        (void)unused;
        start();
        assert_int_equal(getsockname(service.listeners->items[1].fd, (struct sockaddr *)&name,
                                     &length),
                         0);
        assert_int_equal(connect(client, (struct sockaddr *)&name, length), 0);
        assert_int_equal(send(client, "Hello", 5, 0), 5);
        assert_int_equal(recv(client, echo, sizeof echo, 0), 5);
        assert_int_equal(master_turn(service.master, CLOCK_NEVER), MASTER_RUNNING);
        assert_int_equal(waited, CLOCK_NEVER);

        expect_wait(CLOCK_SECOND);
        expect_wait(60 * CLOCK_SECOND);
        service_expect(&service, RECORD_DATAGRAMS);
        assert_int_equal(journald_number(&service.journald, "MPECHO_ANSWERED"), 1);
        close(client);
        stop();
}

/* News of datagrams wake the master once. It looks for more after a second, and logs them after a
 * minute. */
static void test_news(void **state) {
        (void)state;
        process_run(hear_news, NULL);
}

static int open_channel(void) {
        Endpoint address;
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        assert_int_equal(endpoint_from_socket(channels, &address), 0);
        assert_int_equal(connect(fd, &address.any, address.length), 0);
        return fd;
}

static void pause_channels(void *unused) {
        int strangers[2];

        (void)unused;
        start();
        strangers[0] = open_channel();
        assert_int_equal(master_turn(service.master, CLOCK_NEVER), MASTER_RUNNING);
        assert_int_equal(waited, CLOCK_NEVER);
        peer_expect_end(strangers[0]);

        strangers[1] = open_channel();
        expect_wait(CLOCK_SECOND);
        peer_expect_end(strangers[1]);
        for (int i = 0; i < 2; i++)
                close(strangers[i]);
        stop();
}

/* After a stranger the master takes no channel for a second, and then those that wait. */
static void test_strangers(void **state) {
        (void)state;
        process_run(pause_channels, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_news),
                TEST(test_strangers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
