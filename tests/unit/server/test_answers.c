/* SPDX-License-Identifier: MIT */
/* The master's answers about handlers. These reach no master here: the test asks in place of its
 * inbox. */

#include "server/answers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/socket.h"
#include "peer.h"
#include "process.h"
#include "server/account.h"
#include "service.h"
#include "unit.h"

enum {
        FROM_ONE = INADDR_LOOPBACK,
};

static Service service;

static void start(uint32_t most, uint32_t per_source) {
        const Options options = { .max_connections = most, .max_per_source = per_source };

        service_start_connections(&service, &options);
}

static void store_and_end(void *data) {
        InboxMaster answers;
        pid_t handler;
        int client;

        (void)data;
        start(5, 1);
        answers = answers_for_inbox(service.connections);
        client = service_take(&service, FROM_ONE, &handler);
        answers.note_stored(answers.data, getpid());
        assert_false(connections_are_stored(service.connections));
        answers.note_stored(answers.data, handler);
        assert_true(connections_are_stored(service.connections));
        /* Once, however often it comes. */
        answers.note_stored(answers.data, handler);
        assert_true(connections_are_stored(service.connections));
        assert_int_equal(kill(handler, SIGKILL), 0);
        process_wait_ended(handler);
        assert_true(connections_reap(service.connections, clock_now()));
        service_expect_none(&service);
        assert_int_equal(roster_live(service.connections->roster), 0);
        assert_int_equal(account_totals(service.connections, RECORD_STOPPED, 0).live, 1);
        close(client);
        /* Its source has room again. */
        client = service_take(&service, FROM_ONE, &handler);
        service_leave(&service, client, handler);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 1);
        service_stop(&service);
}

/* A connection that systemd has goes on, however its handler ends, and is live in all records. */
static void test_stored(void **state) {
        (void)state;
        process_run(store_and_end, NULL);
}

static void ask_master(void *data) {
        InboxMaster answers;
        uint64_t cookies[2];
        pid_t handlers[2];
        int clients[2];

        (void)data;
        start(5, 5);
        answers = answers_for_inbox(service.connections);
        for (int i = 0; i < 2; i++)
                clients[i] = service_take(&service, FROM_ONE, &handlers[i]);
        for (int i = 0; i < 2; i++) {
                int pidfd, fd;

                /* Once it echoes, its connection is descriptor 3. */
                peer_echo(clients[i], "Hello");
                pidfd = (int)syscall(SYS_pidfd_open, handlers[i], 0);
                fd = (int)syscall(SYS_pidfd_getfd, pidfd, 3, 0);
                assert_true(fd >= 0);
                cookies[i] = socket_cookie(fd);
                close(fd);
                close(pidfd);
        }
        assert_true(answers.serves(answers.data, handlers[0], cookies[0]));
        assert_true(answers.serves(answers.data, handlers[1], cookies[1]));
        assert_false(answers.serves(answers.data, handlers[0], cookies[1]));
        assert_false(answers.serves(answers.data, handlers[0], 0));
        assert_false(answers.serves(answers.data, getpid(), cookies[0]));
        assert_int_equal(answers.admit(answers.data, getpid()), -ESRCH);
        assert_int_equal(answers.admit(answers.data, handlers[0]), 0);
        assert_int_equal(answers.admit(answers.data, handlers[1]), 0);
        assert_int_equal(answers.admit(answers.data, handlers[0]), -EPERM);
        process_wait_ended(handlers[0]);
        connections_reap(service.connections, clock_now());
        service_expect(&service, RECORD_CRASHED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SIGNAL"), SIGKILL);
        peer_echo(clients[1], "Hello");
        close(clients[0]);
        service_leave(&service, clients[1], handlers[1]);
        service_stop(&service);
}

/* A handler has one channel, and is killed for a second one; it serves the connection that it was
 * forked for, and no other. */
static void test_master(void **state) {
        (void)state;
        process_run(ask_master, NULL);
}

static void announce_peers(void *data) {
        static const struct {
                Address announced;
                const char *peer; /* NULL for the real one */
        } cases[] = {
                { { .family = AF_INET, .port = 7, .scope = 9 }, "0.0.0.0:7" },
                { { .family = AF_INET6,
                    .port = 7,
                    .scope = 9,
                    .ipv6.s6_addr = { [0] = 0xfe, [1] = 0x80 } },
                  "[fe80::]:7" },
                { { .family = AF_INET6, .ipv6.s6_addr = { [10] = 255, [11] = 255, [15] = 1 } },
                  "0.0.0.1:0" },
                { {}, NULL },
                { { .family = AF_UNIX, .local = { .uid = 1000, .pid = 1 } }, NULL },
                { { .family = 0xffff, .port = 7 }, NULL },
        };
        InboxMaster answers;

        (void)data;
        service_start_proxy(&service, 8);
        answers = answers_for_inbox(service.connections);
        for (size_t i = 0; i < COUNT(cases); i++) {
                char real[32];
                pid_t handler;
                int client = service_take_silent(&service, FROM_ONE, &handler);

                snprintf(real, sizeof real, "127.0.0.1:%hu", peer_port(client));
                assert_int_equal(answers.admit(answers.data, handler), 0);
                assert_true(answers.awaits(answers.data, handler));
                assert_false(answers.awaits(answers.data, getpid()));
                assert_true(answers.announce(answers.data, handler, &cases[i].announced,
                                             clock_now()));
                /* It has announced all that it may, and can still hand over. */
                assert_false(answers.awaits(answers.data, handler));
                assert_int_equal(answers.admit(answers.data, handler), 0);
                service_expect(&service, RECORD_ACCEPTED);
                assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"),
                                    cases[i].peer != NULL ? cases[i].peer : real);
                if (cases[i].peer != NULL)
                        assert_string_equal(journald_text(&service.journald, "MPECHO_PROXY"), real);
                /* The handler itself has not read a header. */
                service_end(&service, client, handler, RECORD_CLOSED);
                assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "failed");
        }
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, 0).served,
                         COUNT(cases));
        service_stop(&service);
}

/* Whatever bytes a handler announces, its connection gets a whole internet address, or stays that
 * of the real peer. */
static void test_announced(void **state) {
        (void)state;
        process_run(announce_peers, NULL);
}

static void refuse_announced(void *data) {
        static const Address announced = { .family = AF_INET, .port = 7 };
        InboxMaster answers;
        const Listener *listener;
        pid_t handlers[3];
        int clients[3];

        (void)data;
        service_start_proxy(&service, 8);
        answers = answers_for_inbox(service.connections);
        for (int i = 0; i < 2; i++)
                clients[i] = service_take_silent(&service, FROM_ONE, &handlers[i]);
        listener = &service.listeners->items[0];
        /* A quarter of all. */
        assert_false(connections_can_accept_at(service.connections, listener));
        assert_true(connections_can_accept(service.connections));
        assert_true(answers.announce(answers.data, handlers[0], &announced, clock_now()));
        service_expect(&service, RECORD_ACCEPTED);
        assert_true(connections_can_accept_at(service.connections, listener));
        assert_false(answers.announce(answers.data, handlers[1], &announced, clock_now()));
        service_expect(&service, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "0.0.0.0:7");
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIMIT_VALUE"), 1);
        assert_false(answers.awaits(answers.data, handlers[1]));

        /* Its record is there already. */
        close(clients[1]);
        process_wait_ended(handlers[1]);
        assert_true(connections_reap(service.connections, clock_now()));
        service_expect_none(&service);

        service_end(&service, clients[0], handlers[0], RECORD_CLOSED);
        clients[2] = service_take_silent(&service, FROM_ONE, &handlers[2]);
        assert_true(answers.announce(answers.data, handlers[2], &announced, clock_now()));
        service_expect(&service, RECORD_ACCEPTED);
        service_end(&service, clients[2], handlers[2], RECORD_CLOSED);
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, 0).refused, 1);
        service_stop(&service);
}

/* The quota counts announced peers from their announcement to their end, and no silent or refused
 * connection; silent ones have a limit of their own. */
static void test_announced_quota(void **state) {
        (void)state;
        process_run(refuse_announced, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_stored),
                TEST(test_master),
                TEST(test_announced),
                TEST(test_announced_quota),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
