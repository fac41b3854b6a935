/* SPDX-License-Identifier: MIT */
/* How the process that accepts, forks and reaps comes to its end. */

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "peer.h"
#include "process.h"
#include "server/master.h"
#include "service.h"
#include "unit.h"

static const Options usual = { .max_connections = 10, .max_per_source = 5 };

static Service service;

/* The time of a clock that stands still, but for a second in which a connection is accepted; 0 for
 * the real one. */
static uint64_t standing;
static bool killed;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now) {
        if (standing == 0)
                return (int)syscall(GETTIME, clock, now);
        *now = (struct timespec){ .tv_sec = (time_t)(standing / CLOCK_SECOND),
                                  .tv_nsec = (long)(standing % CLOCK_SECOND) };
        return 0;
}

int accept4(int fd, struct sockaddr *name, socklen_t *length, int flags) {
        static int (*real)(int, struct sockaddr *, socklen_t *, int);
        int connection;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "accept4");
        connection = real(fd, name, length, flags);
        if (standing > 0 && connection >= 0)
                standing += CLOCK_SECOND;
        return connection;
}

int kill(pid_t pid, int signal) {
        killed |= signal == SIGKILL;
        return (int)syscall(SYS_kill, pid, signal);
}

/* Whether others send SIGHUP all the time. */
static bool flooded;

/* In place of the C library's: a flood goes on while the kernel copies the signals. */
ssize_t read(int fd, void *buffer, size_t size) {
        const size_t one = sizeof(struct signalfd_siginfo);
        ssize_t done = 0, n = (ssize_t)one;

        if (!flooded)
                return syscall(SYS_read, fd, buffer, size);
        while (n == (ssize_t)one && size - (size_t)done >= one) {
                assert_int_equal(kill(getpid(), SIGHUP), 0);
                n = syscall(SYS_read, fd, (char *)buffer + done, one);
                done += n > 0 ? n : 0;
        }
        return done > 0 ? done : n;
}

static void expect_closed(const char *reason, uint64_t bytes) {
        service_expect(&service, RECORD_CLOSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), reason);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), bytes);
}

static bool is_refused(void) {
        const struct sockaddr_in name = { .sin_family = AF_INET,
                                          .sin_port = htons(service.port),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool refused = connect(fd, (const struct sockaddr *)&name, sizeof name) < 0 &&
                       errno == ECONNREFUSED;

        close(fd);
        return refused;
}

static void stop_handlers(void *data) {
        int clients[2];
        pid_t handler;

        service_start_master(&service, &usual);
        for (int i = 0; i < 2; i++) {
                clients[i] = service_take(&service, INADDR_LOOPBACK, &handler);
                peer_echo(clients[i], "Hello");
        }
        assert_int_equal(kill(getpid(), *(const int *)data), 0);
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        assert_true(is_refused());
        for (int i = 0; i < 2; i++) {
                peer_expect_end(clients[i]);
                close(clients[i]);
        }
        service_turn_until_done(&service);
        expect_closed("stopped", 5);
        expect_closed("stopped", 5);
        service_stop(&service);
}

static void stop_nothing(void *data) {
        service_start_master(&service, &usual);
        assert_int_equal(kill(getpid(), *(const int *)data), 0);
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), 0);
        service_stop(&service);
}

/* Told to stop, a master accepts no more, has its handlers end their service.connections, and is
 * done when they have; without any it is done at once. */
static void test_stop(void **state) {
        (void)state;
        process_run(stop_handlers, &(int){ SIGTERM });
        process_run(stop_handlers, &(int){ SIGINT });
        process_run(stop_nothing, &(int){ SIGTERM });
        process_run(stop_nothing, &(int){ SIGINT });
}

static void stop_hung(void *data) {
        const bool twice = *(const bool *)data;
        bool done = false;
        unsigned turns = 0;
        uint64_t begin;
        pid_t handler;
        int client;

        service_start_master(&service, &usual);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        service_echo(client, handler);
        assert_int_equal(kill(handler, SIGSTOP), 0);
        begin = clock_now();
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        if (twice) {
                assert_int_equal(kill(getpid(), SIGINT), 0);
                /* It may even have been reaped in this turn. */
                done = master_turn(service.master, CLOCK_SECOND) == 0;
                if (!done)
                        process_wait_ended(handler);
        }
        for (int r = MASTER_RUNNING; !done && r != 0; turns++) {
                r = master_turn(service.master, CLOCK_NEVER);
                assert_true(r == MASTER_RUNNING || r == 0);
        }
        assert_true(twice || clock_now() - begin >= 4 * CLOCK_SECOND);
        /* Three a second. */
        assert_true(twice || turns <= 12);
        expect_closed("stopped", 5);
        close(client);
        service_stop(&service);
}

/* A handler that does not stop is ended after 4 seconds, in which the master sleeps, or at once
 * when the master is told a second time; that is told as stopped. */
static void test_hung(void **state) {
        (void)state;
        process_run(stop_hung, &(bool){ true });
        process_run(stop_hung, &(bool){ false });
}

static void stop_flooded(void *data) {
        (void)data;
        service_start_master(&service, &usual);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        flooded = true;
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), 0);
        flooded = false;
        service_stop(&service);
}

/* A stop comes in the turn in which it was told, however many other signals come. */
static void test_flooded(void **state) {
        (void)state;
        process_run(stop_flooded, NULL);
}

/* Returns the type of the socket @fd, or -1. */
static int socket_type(int fd) {
        socklen_t size = sizeof(int);
        int type;

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ? -1 : type;
}

/* Opens a channel where handlers do, the only socket of its type. */
static void stranger_knock(void) {
        Endpoint inbox = { .length = 0 };
        int fd = STDERR_FILENO;

        do
                fd++;
        while (fd < 100 && socket_type(fd) != SOCK_SEQPACKET);
        assert_int_equal(endpoint_from_socket(fd, &inbox), 0);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, &inbox.any, inbox.length), 0);
        close(fd);
}

static void stop_among_strangers(void *data) {
        static char *listen[] = { "127.0.0.1:0", "proxy:127.0.0.1:0" };
        Options options = usual;
        pid_t handler;
        int client;

        (void)data;
        options.listen = listen;
        options.n_listen = 2;
        service_start_master(&service, &options);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        service_echo(client, handler);
        assert_int_equal(kill(handler, SIGSTOP), 0);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        standing = clock_now();
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        for (int seconds = 0; seconds <= 4; seconds++) {
                assert_false(killed);
                stranger_knock();
                assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        }
        assert_true(killed);
        service_turn_until_done(&service);
        expect_closed("stopped", 5);
        close(client);
        service_stop(&service);
}

/* Strangers who open channels all the time, so that each turn takes long, do not delay that end. */
static void test_hung_among_strangers(void **state) {
        (void)state;
        process_run(stop_among_strangers, NULL);
}

static void leave_idle(void *data) {
        const Options options = { .max_connections = 10, .exit_idle = CLOCK_SECOND / 5 };
        uint64_t begin = clock_now();
        pid_t handler;
        int client;

        (void)data;
        service_start_master(&service, &options);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        /* A connection that carries nothing is no idleness of the service. */
        while (clock_now() - begin < 2 * options.exit_idle)
                assert_int_equal(master_turn(service.master, options.exit_idle), MASTER_RUNNING);
        begin = clock_now();
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        service_turn_until_done(&service);
        assert_true(clock_now() - begin >= options.exit_idle);
        service_stop(&service);
}

/* A master leaves when nobody has been connected for as long as it is told to wait, and not
 * before. */
static void test_idle(void **state) {
        (void)state;
        process_run(leave_idle, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stop),    TEST(test_hung),
                TEST(test_flooded), TEST(test_hung_among_strangers),
                TEST(test_idle),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
