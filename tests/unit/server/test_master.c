/* SPDX-License-Identifier: MIT */
/* The process that accepts, forks and reaps, turn by turn, in a child of the test. */

#include "server/master.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "service.h"
#include "unit.h"

static const Options usual = { .max_connections = 10, .max_per_source = 5 };

static Service service;

static void serve(void *data) {
        pid_t handlers[3];
        int clients[3];

        (void)data;
        service_start_master(&service, &usual);
        for (int i = 0; i < 3; i++) {
                clients[i] = service_take(&service, INADDR_LOOPBACK, &handlers[i]);
                peer_echo(clients[i], "Hello");
        }
        for (int i = 2; i >= 0; i--) {
                close(clients[i]);
                service_turn_until(&service, RECORD_CLOSED);
                assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"),
                                 handlers[i]);
                assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), i);
        }
        service_stop(&service);
}

/* Clients are accepted as they come and handlers reaped as they end. */
static void test_serve(void **state) {
        (void)state;
        process_run(serve, NULL);
}

static void wait_in_vain(void *data) {
        const uint64_t begin = clock_now();

        (void)data;
        service_start_master(&service, &usual);
        assert_int_equal(master_turn(service.master, 50 * CLOCK_MILLISECOND), MASTER_RUNNING);
        assert_true(clock_now() - begin >= 50 * CLOCK_MILLISECOND);
        service_stop(&service);
}

/* With nothing to do a turn waits for as long as it may. */
static void test_patience(void **state) {
        (void)state;
        process_run(wait_in_vain, NULL);
}

static void reap_coalesced(void *data) {
        pid_t handlers[5];
        int clients[5];

        (void)data;
        service_start_master(&service, &usual);
        for (int i = 0; i < 5; i++)
                clients[i] = service_take(&service, INADDR_LOOPBACK, &handlers[i]);
        for (int i = 0; i < 5; i++) {
                close(clients[i]);
                process_wait_ended(handlers[i]);
        }
        assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        for (int i = 0; i < 5; i++)
                service_expect(&service, RECORD_CLOSED);
        service_stop(&service);
}

/* Handlers that ended while the master was busy are all reaped in one turn: their signals are one.
 */
static void test_reap(void **state) {
        (void)state;
        process_run(reap_coalesced, NULL);
}

static void limit_total(void *data) {
        const Options options = { .max_connections = 1 };
        pid_t handler;
        int client, waiting;

        (void)data;
        service_start_master(&service, &options);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        service_expect(&service, RECORD_FULL);
        waiting = service_connect(&service, INADDR_LOOPBACK);
        /* It waits where it is, and the master waits, too: it does not look at it again and again.
         */
        for (int i = 0; i < 3; i++) {
                const uint64_t begin = clock_now();

                assert_int_equal(master_turn(service.master, 20 * CLOCK_MILLISECOND),
                                 MASTER_RUNNING);
                assert_true(clock_now() - begin >= 20 * CLOCK_MILLISECOND);
        }
        service_expect_none(&service);
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        service_turn_until(&service, RECORD_ACCEPTED);
        peer_echo(waiting, "Hello");
        close(waiting);
        service_turn_until(&service, RECORD_CLOSED);
        service_stop(&service);
}

/* At the total limit a client waits in the backlog, and is served when one leaves. */
static void test_total(void **state) {
        (void)state;
        process_run(limit_total, NULL);
}

static void limit_source(void *data) {
        const Options options = { .max_connections = 10, .max_per_source = 1 };
        int client, refused, other;
        pid_t handler;

        (void)data;
        service_start_master(&service, &options);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        refused = service_connect(&service, INADDR_LOOPBACK);
        service_turn_until(&service, RECORD_REFUSED);
        peer_expect_reset(refused);
        other = service_take(&service, INADDR_LOOPBACK + 1, &handler);
        peer_echo(client, "Hello");
        peer_echo(other, "Hello");
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        close(other);
        service_turn_until(&service, RECORD_CLOSED);
        service_stop(&service);
}

/* Over its limit a source is refused, and nobody else. */
static void test_per_source(void **state) {
        (void)state;
        process_run(limit_source, NULL);
}

static void report(void *data) {
        pid_t handler;
        int client;

        (void)data;
        service_start_master(&service, &usual);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        peer_echo(client, "Hello");
        assert_int_equal(kill(getpid(), SIGHUP), 0);
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        service_turn_until(&service, RECORD_CONNECTION);
        assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"), handler);
        service_turn_until(&service, RECORD_TOTALS);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SERVED"), 1);
        peer_echo(client, "Hello");
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        service_stop(&service);
}

/* SIGUSR1 has what there is written, SIGHUP does nothing, and neither harms. */
static void test_report(void **state) {
        (void)state;
        process_run(report, NULL);
}

/* Has the kernel send this process @number because a descriptor is readable. */
static void send_by_descriptor(int number) {
        int pair[2];

        peer_pair(pair);
        assert_int_equal(fcntl(pair[0], F_SETOWN, getpid()), 0);
        assert_int_equal(fcntl(pair[0], F_SETSIG, number), 0);
        assert_int_equal(fcntl(pair[0], F_SETFL, O_ASYNC), 0);
        peer_send(pair[1], "x", 1);
        close(pair[0]);
        close(pair[1]);
}

static void forge(void *data) {
        static const int stops[] = { SIGTERM, SIGINT };
        pid_t handler;
        int client;

        (void)data;
        service_start_master(&service, &usual);
        for (int n = 0; n < 4; n++) {
                const int number = stops[n % 2];
                sigset_t pending;

                if (n < 2)
                        send_by_descriptor(number);
                else
                        assert_int_equal(sigqueue(getpid(), number, (union sigval){}), 0);
                assert_int_equal(sigpending(&pending), 0);
                assert_int_equal(sigismember(&pending, number), 1);
                assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
                assert_int_equal(sigpending(&pending), 0);
                assert_int_equal(sigismember(&pending, number), 0);
        }
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        peer_echo(client, "Hello");
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        service_stop(&service);
}

/* Signals whose sender the kernel does not attest stop nothing: those of sigqueue(3), and those
 * that a descriptor of any process sends. */
static void test_forged(void **state) {
        (void)state;
        process_run(forge, NULL);
}

static bool is_pending(int number) {
        sigset_t pending;

        assert_int_equal(sigpending(&pending), 0);
        return sigismember(&pending, number) == 1;
}

static void annoy(void *data) {
        uint64_t last = 0, since;
        int rounds = 0;

        (void)data;
        service_start_master(&service, &usual);
        do {
                since = last;
                last = clock_now();
                assert_int_equal(kill(getpid(), SIGHUP), 0);
                assert_int_equal(master_turn(service.master, 0), MASTER_RUNNING);
                assert_true(++rounds < 1000);
        } while (!is_pending(SIGHUP));

        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        service_turn_until(&service, RECORD_TOTALS);
        assert_true(clock_now() - since >= CLOCK_SECOND / 10);
        assert_false(is_pending(SIGHUP));
        service_stop(&service);
}

/* After several signals without an effect the master takes none for a tenth of a second, and then
 * all: no handler keeps it busy with them. */
static void test_vain_signals(void **state) {
        (void)state;
        process_run(annoy, NULL);
}

/* Whether @text is what the service manager was told next. */
static bool was_told(int manager, const char *text) {
        char told[512];
        ssize_t n = recv(manager, told, sizeof told - 1, MSG_DONTWAIT);

        if (n < 0)
                return false;
        told[n] = '\0';
        return strcmp(told, text) == 0;
}

static int manage(void) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int length = snprintf(name.sun_path, sizeof name.sun_path, "@mpecho-unit-master-%d",
                              getpid());

        assert_int_equal(setenv("NOTIFY_SOCKET", name.sun_path, 1), 0);
        name.sun_path[0] = '\0';
        assert_int_equal(bind(fd, (struct sockaddr *)&name,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
                         0);
        return fd;
}

static void tell_status(void *data) {
        int manager = manage(), client;
        pid_t handler;

        (void)data;
        service_start_master(&service, &usual);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        while (!was_told(manager, "STATUS=1 live (peak 1), 1 served, 0 refused, 0 bytes echoed"))
                assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        peer_echo(client, "Hello");
        while (!was_told(manager, "STATUS=1 live (peak 1), 1 served, 0 refused, 5 bytes echoed"))
                assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        close(client);
        service_turn_until(&service, RECORD_CLOSED);
        while (!was_told(manager, "STATUS=0 live (peak 1), 1 served, 0 refused, 5 bytes echoed"))
                assert_int_equal(master_turn(service.master, CLOCK_SECOND), MASTER_RUNNING);
        service_stop(&service);
}

/* The service manager is told how many connections there are, and what they carry, when that
 * changes. */
static void test_status(void **state) {
        (void)state;
        process_run(tell_status, NULL);
}

static void run(void *data) {
        int manager = manage();

        (void)data;
        service_start_master(&service, &usual);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_int_equal(master_run(service.master), 0);
        service_expect(&service, RECORD_STARTED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LISTENER"),
                            service.listeners->items[0].text);
        assert_int_equal(journald_number(&service.journald, "MPECHO_MAX_CONNECTIONS"), 10);
        service_expect(&service, RECORD_STOPPED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SERVED"), 0);
        assert_true(was_told(manager, "READY=1"));
        service_stop(&service);
}

/* A whole run begins and ends with a record, and with being ready and stopping. */
static void test_run(void **state) {
        (void)state;
        process_run(run, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_serve),      TEST(test_patience),     TEST(test_reap),   TEST(test_total),
                TEST(test_per_source), TEST(test_report),       TEST(test_status), TEST(test_run),
                TEST(test_forged),     TEST(test_vain_signals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
