/* SPDX-License-Identifier: MIT */
/* A master's connections when the machine runs out of what they need. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "clone.h"
#include "fault.h"
#include "lib/clock.h"
#include "peer.h"
#include "process.h"
#include "server/account.h"
#include "server/connections.h"
#include "service.h"
#include "unit.h"

FAULT(int, accept4, accept4, (int fd, struct sockaddr *name, socklen_t *length, int flags),
      (fd, name, length, flags))

FAULT(int, pipe2, pipe2, (int ends[2], int flags), (ends, flags))

static Service service;

static void start(uint32_t most, uint32_t per_source) {
        const Options options = { .max_connections = most, .max_per_source = per_source };

        service_start_connections(&service, &options);
}

/* What lacks is told at once, and nothing is accepted until the back-off is over. */
static void expect_exhausted(const char *limit, int error, uint64_t refused, uint64_t now) {
        assert_false(connections_can_accept(service.connections));
        connections_tick(service.connections, now);
        service_expect(&service, RECORD_EXHAUSTED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LIMIT"), limit);
        assert_int_equal(journald_number(&service.journald, "ERRNO"), error);
        assert_int_equal(journald_number(&service.journald, "MPECHO_REFUSED"), refused);
        assert_int_equal(connections_deadline(service.connections), now + 10 * CLOCK_MILLISECOND);
        connections_tick(service.connections, now + 10 * CLOCK_MILLISECOND);
        assert_true(connections_can_accept(service.connections));
        assert_true(connections_deadline(service.connections) == CLOCK_NEVER);
}

static void fail_to_fork(void *data) {
        const int error = *(const int *)data;
        const uint64_t now = clock_now();
        pid_t handler;
        int client;

        /* With room for one, from one source: what is not given back is missed. */
        start(1, 1);
        clone_fail(error, 1);
        client = service_connect(&service, INADDR_LOOPBACK);
        connections_accept(service.connections, &service.listeners->items[0], now);
        peer_expect_reset(client);
        close(client);
        expect_exhausted(error == EAGAIN ? "processes" : "memory", error, 1, now);
        assert_int_equal(roster_live(service.connections->roster), 0);
        /* The master notes that a handler begins before it forks. */
        assert_int_equal(ledger_facts(roster_ledger(service.connections->roster), 0)->begun, 1);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        service_expect(&service, RECORD_FULL);
        peer_echo(client, "Hello");
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, now).served, 1);
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, now).refused, 1);
        service_leave(&service, client, handler);

        /* It got all that it needs: the next back-off is a short one again. */
        clone_fail(error, 1);
        client = service_connect(&service, INADDR_LOOPBACK);
        connections_accept(service.connections, &service.listeners->items[0], now);
        close(client);
        assert_int_equal(connections_deadline(service.connections), now + 10 * CLOCK_MILLISECOND);
        service_stop(&service);
}

/* Without a process to be had a client is refused, all that it had taken is given back, and the
 * next one is served when there is. */
static void test_fork(void **state) {
        (void)state;
        process_run(fail_to_fork, &(int){ EAGAIN });
        process_run(fail_to_fork, &(int){ ENOMEM });
}

static void lack_gate(void *unused) {
        static char name[64];
        static char *listen[] = { name };
        const Options options = {
                .max_connections = 1, .max_per_source = 1, .listen = listen, .n_listen = 1
        };
        const uint64_t now = clock_now();
        struct sockaddr_un address = {};
        socklen_t length = sizeof address;
        int client;

        (void)unused;
        snprintf(name, sizeof name, "@mpecho-unit-gate-%d", getpid());
        service_start_connections(&service, &options);
        assert_int_equal(getsockname(service.listeners->items[0].fd, (struct sockaddr *)&address,
                                     &length),
                         0);
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
        pipe2_fault = (CallFault){ .error = EMFILE, .times = 1 };
        connections_accept(service.connections, &service.listeners->items[0], now);
        assert_int_equal(pipe2_fault.times, 0);
        peer_expect_end(client);
        close(client);
        expect_exhausted("descriptors", EMFILE, 1, now);
        assert_int_equal(roster_live(service.connections->roster), 0);
        assert_int_equal(account_counts(service.connections)->refused[METRICS_DESCRIPTORS], 1);
        service_stop(&service);
}

/* Without descriptors for its gate a local client is refused. */
static void test_gate(void **state) {
        (void)state;
        process_run(lack_gate, NULL);
}

static void fail_to_accept(void *data) {
        const uint64_t now = clock_now();
        int client;
        pid_t handler;

        start(5, 5);
        accept4_fault.error = *(const int *)data;
        /* The second is that of the reserve. */
        accept4_fault.times =
                        accept4_fault.error == EMFILE || accept4_fault.error == ENFILE ? 2 : 1;
        client = service_connect(&service, INADDR_LOOPBACK);
        connections_accept(service.connections, &service.listeners->items[0], now);
        expect_exhausted(accept4_fault.error == ENOMEM ? "memory" : "descriptors",
                         accept4_fault.error, 0, now);
        connections_accept(service.connections, &service.listeners->items[0], now);
        service_expect(&service, RECORD_ACCEPTED);
        handler = (pid_t)journald_number(&service.journald, "MPECHO_HANDLER_PID");
        peer_echo(client, "Hello");
        service_leave(&service, client, handler);
        service_stop(&service);
}

/* Without a descriptor or memory to be had accepting pauses, and goes on afterwards. */
static void test_accept(void **state) {
        (void)state;
        process_run(fail_to_accept, &(int){ EMFILE });
        process_run(fail_to_accept, &(int){ ENFILE });
        process_run(fail_to_accept, &(int){ ENOMEM });
}

static void relieve(void *data) {
        uint64_t now = clock_now();
        int client, refused;
        pid_t handler;

        (void)data;
        start(5, 5);
        client = service_take(&service, INADDR_LOOPBACK, &handler);
        clone_fail(EAGAIN, 8);
        for (int i = 0; i < 8; i++) {
                now += CLOCK_SECOND;
                connections_tick(service.connections, now);
                refused = service_connect(&service, INADDR_LOOPBACK);
                connections_accept(service.connections, &service.listeners->items[0], now);
                peer_expect_reset(refused);
                close(refused);
                connections_tick(service.connections, now);
                service_expect(&service, RECORD_EXHAUSTED);
        }
        assert_false(connections_can_accept(service.connections));
        assert_int_equal(connections_deadline(service.connections), now + CLOCK_SECOND);
        service_leave(&service, client, handler);
        assert_true(connections_can_accept(service.connections));
        service_stop(&service);
}

/* Pausing ends when a handler is reaped, however long it was to be. */
static void test_relieved(void **state) {
        (void)state;
        process_run(relieve, NULL);
}

static void lose_connections(void *data) {
        static const int errors[] = { ENETDOWN,  EPROTO,       ENOPROTOOPT,  EHOSTDOWN,
                                      ENONET,    EHOSTUNREACH, EOPNOTSUPP,   ENETUNREACH,
                                      ETIMEDOUT, EPERM,        ECONNABORTED, EINTR };

        int waiting;

        (void)data;
        start(5, 5);
        for (size_t i = 0; i < COUNT(errors); i++) {
                pid_t handler;
                int client;

                accept4_fault.error = errors[i];
                accept4_fault.times = 3;
                client = service_take(&service, INADDR_LOOPBACK, &handler);
                peer_echo(client, "Hello");
                service_leave(&service, client, handler);
                assert_true(connections_can_accept(service.connections));
        }
        accept4_fault.error = ENETDOWN;
        accept4_fault.times = 1000;
        waiting = service_connect(&service, INADDR_LOOPBACK);
        connections_accept(service.connections, &service.listeners->items[0], clock_now());
        assert_int_equal(accept4_fault.times, 1000 - 16);
        assert_false(connections_can_accept(service.connections));
        close(waiting);
        service_stop(&service);
}

/* A connection that failed before it was accepted does not keep the next one from being served; if
 * there is no end to them, accepting pauses. */
static void test_lost(void **state) {
        (void)state;
        process_run(lose_connections, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_fork),     TEST(test_gate), TEST(test_accept),
                TEST(test_relieved), TEST(test_lost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
