/* SPDX-License-Identifier: MIT */
/* A master's connections, from accept to reaped, stepped in a child of the test. */

#include "server/connections.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "server/account.h"
#include "server/answers.h"
#include "service.h"
#include "unit.h"

enum {
        FROM_ONE = INADDR_LOOPBACK,
        FROM_OTHER = INADDR_LOOPBACK + 1,
};

static Service service;

static void start(uint32_t most, uint32_t per_source) {
        const Options options = { .max_connections = most, .max_per_source = per_source };

        service_start_connections(&service, &options);
}

static void serve_one(void *data) {
        pid_t handler;
        char peer[32];
        int client;

        (void)data;
        start(5, 5);
        client = service_take(&service, FROM_OTHER, &handler);
        snprintf(peer, sizeof peer, "127.0.0.2:%hu", peer_port(client));
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), peer);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LISTENER"),
                            service.listeners->items[0].text);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 1);
        assert_int_equal(roster_live(service.connections->roster), 1);
        peer_echo(client, "Hello, world.");
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        peer_expect_end(client);
        service_leave(&service, client, handler);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), peer);
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "closed by peer");
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 13);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 0);
        assert_int_equal(roster_live(service.connections->roster), 0);
        service_stop(&service);
}

/* A connection gets a handler that echoes, one record when it was accepted and one when it ended.
 */
static void test_one(void **state) {
        (void)state;
        process_run(serve_one, NULL);
}

static void serve_many(void *data) {
        uint64_t now = clock_now();
        pid_t handlers[4];
        int clients[4];
        Record totals;

        (void)data;
        start(5, 5);
        for (int i = 0; i < 4; i++) {
                clients[i] = service_take(&service, FROM_ONE, &handlers[i]);
                service_echo(clients[i], handlers[i]);
        }
        assert_int_equal(kill(handlers[2], SIGKILL), 0);
        for (int i = 0; i < 4; i++) {
                close(clients[i]);
                process_wait_ended(handlers[i]);
        }
        connections_reap(service.connections, now);
        service_flush(&service);
        for (int i = 0; i < 4; i++) {
                assert_true(journald_take(&service.journald));
                assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
                if (!journald_is(&service.journald, RECORD_CRASHED)) {
                        assert_true(journald_is(&service.journald, RECORD_CLOSED));
                        continue;
                }
                assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"),
                                 handlers[2]);
                assert_int_equal(journald_number(&service.journald, "MPECHO_SIGNAL"), SIGKILL);
                handlers[2] = 0;
        }
        assert_int_equal(handlers[2], 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        totals = account_totals(service.connections, RECORD_TOTALS, now);
        assert_int_equal(totals.live, 0);
        assert_int_equal(totals.peak, 4);
        assert_int_equal(totals.served, 4);
        assert_int_equal(totals.bytes, 20);
        service_stop(&service);
}

/* However many handlers have ended, all are reaped at once, each with one record; that of one that
 * was killed says so instead, and has its bytes as well. */
static void test_many(void **state) {
        (void)state;
        process_run(serve_many, NULL);
}

static void serve_slowly(void *data) {
        pid_t handlers[2];
        int clients[2];

        (void)data;
        start(5, 5);
        for (int i = 0; i < 2; i++)
                clients[i] = service_connect(&service, FROM_ONE);
        for (int i = 0; i < 2; i++) {
                connections_accept(service.connections, &service.listeners->items[0],
                                   clock_now() - CLOCK_SECOND);
                service_expect(&service, RECORD_ACCEPTED);
                handlers[i] = (pid_t)journald_number(&service.journald, "MPECHO_HANDLER_PID");
                service_expect_none(&service);
        }
        for (int i = 0; i < 2; i++)
                service_leave(&service, clients[i], handlers[i]);
        service_stop(&service);
}

/* A turn that has taken a second serves one client of each listener, and leaves the rest. */
static void test_slow(void **state) {
        (void)state;
        process_run(serve_slowly, NULL);
}

static void limit_total(void *data) {
        const uint64_t begin = clock_now();
        pid_t handlers[2], third;
        int clients[2], waiting;

        (void)data;
        start(2, 0);
        for (int i = 0; i < 2; i++)
                clients[i] = service_take(&service, FROM_ONE, &handlers[i]);
        service_expect(&service, RECORD_FULL);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 2);
        assert_int_equal(journald_number(&service.journald, "MPECHO_MAX_CONNECTIONS"), 2);
        assert_false(connections_can_accept(service.connections));
        waiting = service_connect(&service, FROM_ONE);
        connections_accept(service.connections, &service.listeners->items[0], clock_now());
        service_expect_none(&service);
        service_leave(&service, clients[0], handlers[0]);
        assert_true(connections_can_accept(service.connections));
        connections_accept(service.connections, &service.listeners->items[0],
                           begin + 60 * CLOCK_SECOND - 1);
        service_expect(&service, RECORD_ACCEPTED);
        third = (pid_t)journald_number(&service.journald, "MPECHO_HANDLER_PID");
        peer_echo(waiting, "Hello");
        service_expect_none(&service);
        service_leave(&service, waiting, third);
        waiting = service_connect(&service, FROM_ONE);
        connections_accept(service.connections, &service.listeners->items[0],
                           clock_now() + 60 * CLOCK_SECOND);
        service_expect(&service, RECORD_ACCEPTED);
        third = (pid_t)journald_number(&service.journald, "MPECHO_HANDLER_PID");
        service_expect(&service, RECORD_FULL);
        service_leave(&service, waiting, third);
        service_leave(&service, clients[1], handlers[1]);
        service_stop(&service);
}

/* At the total limit a client waits, and is served when another leaves. A record says so, and none
 * follows within a minute. */
static void test_total(void **state) {
        (void)state;
        process_run(limit_total, NULL);
}

static void limit_source(void *data) {
        pid_t first, second, third;
        int one, refused, other;

        (void)data;
        start(5, 1);
        one = service_take(&service, FROM_ONE, &first);
        refused = service_connect(&service, FROM_ONE);
        connections_accept(service.connections, &service.listeners->items[0], clock_now());
        service_expect(&service, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LIMIT"), "max-per-source");
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIMIT_VALUE"), 1);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 1);
        peer_expect_reset(refused);
        close(refused);
        other = service_take(&service, FROM_OTHER, &second);
        peer_echo(one, "Hello");
        peer_echo(other, "Hello");
        service_leave(&service, one, first);
        one = service_take(&service, FROM_ONE, &third);
        peer_echo(one, "Hello");
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, 0).refused, 1);
        service_leave(&service, one, third);
        service_leave(&service, other, second);
        service_stop(&service);
}

/* Over its limit a source is refused with a reset and a record; another one is served, and so is
 * the first once its connection has ended. */
static void test_per_source(void **state) {
        (void)state;
        process_run(limit_source, NULL);
}

static void end_handlers(void *data) {
        void (*const end)(Connections *) = *(void (*const *)(Connections *))data;
        pid_t handlers[2];
        int clients[2];

        start(5, 5);
        for (int i = 0; i < 2; i++) {
                clients[i] = service_take(&service, FROM_ONE, &handlers[i]);
                service_echo(clients[i], handlers[i]);
        }
        end(service.connections);
        for (int i = 0; i < 2; i++) {
                if (end == connections_stop)
                        peer_expect_end(clients[i]);
                close(clients[i]);
                process_wait_ended(handlers[i]);
        }
        connections_reap(service.connections, clock_now());
        for (int i = 0; i < 2; i++) {
                service_expect(&service, RECORD_CLOSED);
                assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "stopped");
                assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
        }
        service_stop(&service);
}

/* Handlers that are told to stop end their connections; those that are killed for that have stopped
 * as well, not crashed. */
static void test_end(void **state) {
        void (*ends[])(Connections *) = { connections_stop, connections_kill };

        (void)state;
        process_run(end_handlers, &ends[0]);
        process_run(end_handlers, &ends[1]);
}

static void report(void *data) {
        pid_t handlers[3];
        int clients[3];

        (void)data;
        start(5, 5);
        for (int i = 0; i < 3; i++)
                clients[i] = service_take(&service, FROM_ONE, &handlers[i]);
        service_echo(clients[2], handlers[2]);
        service_leave(&service, clients[0], handlers[0]);
        account_report(service.connections, clock_now());
        for (int i = 1; i < 3; i++) {
                service_expect(&service, RECORD_CONNECTION);
                assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"),
                                 handlers[i]);
                assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"),
                                 i == 2 ? 5 : 0);
        }
        service_expect(&service, RECORD_TOTALS);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 2);
        assert_int_equal(journald_number(&service.journald, "MPECHO_PEAK"), 3);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SERVED"), 3);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
        for (int i = 1; i < 3; i++)
                service_leave(&service, clients[i], handlers[i]);
        service_stop(&service);
}

/* A report has each live connection, the oldest first, and the counts of all. */
static void test_report(void **state) {
        (void)state;
        process_run(report, NULL);
}

static void signal_nobody(void *data) {
        const Address peer = {};
        sigset_t pending;

        (void)data;
        assert_int_equal(setpgid(0, 0), 0);
        start(5, 5);
        assert_non_null(roster_add(service.connections->roster, &peer, 7,
                                   &service.listeners->items[0], clock_now()));
        (void)sigemptyset(&pending);
        (void)sigaddset(&pending, SIGTERM);
        assert_int_equal(sigprocmask(SIG_BLOCK, &pending, NULL), 0);
        connections_stop(service.connections);
        assert_int_equal(sigpending(&pending), 0);
        assert_int_equal(sigismember(&pending, SIGTERM), 0);
        service_stop(&service);
}

/* Nobody is signalled for a connection without a handler, which a restart can leave: 0 would be all
 * processes of the group. */
static void test_no_handler(void **state) {
        (void)state;
        process_run(signal_nobody, NULL);
}

static void do_nothing(void *data) {
        (void)data;
}

static void reap_stranger(void *data) {
        pid_t pid;

        (void)data;
        start(5, 5);
        pid = process_fork(do_nothing, NULL);
        process_wait_ended(pid);
        connections_reap(service.connections, clock_now());
        assert_int_equal(waitpid(pid, NULL, 0), -1);
        service_stop(&service);
}

/* A child that is no handler is reaped, and nothing is told of it. */
static void test_stranger(void **state) {
        (void)state;
        process_run(reap_stranger, NULL);
}

/* What processes exit with that are forked meanwhile, a compromised handler; -1 for what they say.
 */
static int exit_code = -1;

/* In place of the C library's. */
/* In parentheses, as `make coverage` has a macro of this name. */
void(_exit)(int code) {
        for (;;)
                (void)syscall(SYS_exit_group, exit_code >= 0 ? exit_code : code);
}

/* Notes that the keeper has stored the connection of this handler. */
static void roster_keep(pid_t handler) {
        Roster *roster = service.connections->roster;
        const Connection *connection = roster_find(roster, handler);
        const uint32_t slot = (uint32_t)(connection - roster_at(roster, 0));

        ledger_facts(roster_ledger(roster), slot)->kept = connection->cookie;
}

/* How a handler ends whose connection the keeper has stored, or not. */
typedef struct End {
        int code; /* or -1: it is killed */
        bool kept;
} End;

static void end_kept(void *data) {
        const End *end = data;
        char name[64];
        pid_t handler;
        Manager manager;
        int client;

        manager_start(&manager);
        start(5, 1);
        service.connections->handover.run = 7;
        exit_code = end->code;
        client = service_take(&service, FROM_ONE, &handler);
        exit_code = -1;
        service_echo(client, handler);
        if (end->kept)
                roster_keep(handler);
        if (end->code < 0)
                (void)kill(handler, SIGKILL);
        close(client);
        process_wait_ended(handler);
        assert_true(connections_reap(service.connections, clock_now()));
        service_expect(&service, end->code < 0 ? RECORD_CRASHED : RECORD_CLOSED);
        if (end->kept) {
                snprintf(name, sizeof name, "h.7.%d", handler);
                manager_expect_removed(&manager, name);
        }
        manager_expect_none(&manager);
        manager_stop(&manager);
        service_stop(&service);
}

/* However a handler ends, systemd is to close what the keeper has stored of it, and no message is
 * sent without that. */
static void test_kept(void **state) {
        (void)state;
        for (int kept = 0; kept <= 1; kept++) {
                process_run(end_kept, &(End){ -1, kept });
                process_run(end_kept, &(End){ END_CLOSED_BY_PEER, kept });
                process_run(end_kept, &(End){ END_FAILED, kept });
                process_run(end_kept, &(End){ HANDLER_HANDED_OVER, kept });
        }
}

static void claim_handed_over(void *data) {
        const bool stopping = *(const bool *)data;
        char name[64];
        pid_t handler;
        Manager manager;
        int client;

        manager_start(&manager);
        start(5, 1);
        service.connections->handover.run = 7;
        exit_code = HANDLER_HANDED_OVER;
        client = service_take(&service, FROM_ONE, &handler);
        exit_code = -1;
        service_echo(client, handler);
        if (stopping)
                connections_stop(service.connections);
        roster_keep(handler);
        close(client);
        process_wait_ended(handler);
        assert_true(connections_reap(service.connections, clock_now()));
        if (!stopping) {
                service_expect(&service, RECORD_CLOSED);
                assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "failed");
                snprintf(name, sizeof name, "h.7.%d", handler);
                manager_expect_removed(&manager, name);
        }
        service_expect_none(&service);
        assert_int_equal(roster_live(service.connections->roster), 0);
        assert_int_equal(account_totals(service.connections, RECORD_STOPPED, 0).live, stopping);
        assert_int_equal(account_totals(service.connections, RECORD_STOPPED, 0).bytes, 5);
        manager_stop(&manager);
        service_stop(&service);
}

/* A handler that says it has handed its connection over is believed while the service stops: there
 * is no record, and the connection counts as live. At any other time it has failed, and systemd is
 * to close what it stored. */
static void test_handed_over(void **state) {
        (void)state;
        process_run(claim_handed_over, &(bool){ true });
        process_run(claim_handed_over, &(bool){ false });
}

static void end_without_header(void *data) {
        pid_t handler;
        int client;

        (void)data;
        service_start_proxy(&service, 8);
        client = service_take_silent(&service, FROM_ONE, &handler);
        service_end(&service, client, handler, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LIMIT"), "proxy-header");
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 0);

        client = service_take_silent(&service, FROM_ONE, &handler);
        connections_kill(service.connections);
        service_end(&service, client, handler, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "stopped");
        service.connections->killing = false;

        client = service_take_silent(&service, FROM_ONE, &handler);
        assert_int_equal(kill(handler, SIGKILL), 0);
        service_end(&service, client, handler, RECORD_ACCEPTED);
        service_expect(&service, RECORD_CRASHED);

        client = service_connect(&service, FROM_OTHER);
        connections_accept(service.connections, &service.listeners->items[0], clock_now());
        service_expect(&service, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LIMIT"), "proxy-from");
        peer_expect_reset(client);
        close(client);
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, 0).refused, 3);
        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, 0).served, 1);
        service_stop(&service);
}

/* A connection that ends without a header is refused; a crash has its own record. A peer that
 * --proxy-from does not list gets no handler. */
static void test_no_header(void **state) {
        (void)state;
        process_run(end_without_header, NULL);
}

static void share(void *data) {
        const int *most = data;
        const Listener *listener;
        pid_t handlers[3];
        int clients[3], silent = 0;

        service_start_proxy(&service, (uint32_t)*most);
        /* Without a record that the limit is reached. */
        service.connections->full_deadline = CLOCK_NEVER;
        listener = &service.listeners->items[0];
        while (connections_can_accept_at(service.connections, listener)) {
                assert_true(silent < 3);
                clients[silent] = service_take_silent(&service, FROM_ONE, &handlers[silent]);
                silent++;
        }
        assert_int_equal(silent, (*most + 3) / 4);
        while (silent-- > 0)
                service_end(&service, clients[silent], handlers[silent], RECORD_REFUSED);
        service_stop(&service);
}

/* A quarter of all connections can be silent, rounded up: there is room for one under any limit. */
static void test_share(void **state) {
        (void)state;
        for (int most = 1; most <= 9; most++)
                process_run(share, &most);
}

/* Connects a client whose handler never ends by itself. Returns its socket, and its handler. */
static int take_hung(pid_t *ret_handler) {
        const int client = service_take_silent(&service, FROM_ONE, ret_handler);

        assert_int_equal(kill(*ret_handler, SIGSTOP), 0);
        return client;
}

static void expire(void *data) {
        static const Address announced = { .family = AF_INET, .port = 7 };
        InboxMaster answers;
        pid_t silent, served, refused;
        uint64_t due;

        (void)data;
        service_start_proxy(&service, 12);
        answers = answers_for_inbox(service.connections);
        (void)take_hung(&served);
        assert_true(answers.announce(answers.data, served, &announced, clock_now()));
        service_expect(&service, RECORD_ACCEPTED);
        (void)take_hung(&silent);
        (void)take_hung(&refused);
        assert_false(answers.announce(answers.data, refused, &announced, clock_now()));
        service_expect(&service, RECORD_REFUSED);

        due = roster_find(service.connections->roster, silent)->deadline;
        connections_tick(service.connections, due - 1);
        assert_true(connections_deadline(service.connections) == due);
        connections_tick(service.connections, due);
        process_wait_ended(silent);
        assert_true(connections_reap(service.connections, due));
        service_expect(&service, RECORD_ACCEPTED);
        service_expect(&service, RECORD_CRASHED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SIGNAL"), SIGKILL);

        due = connections_deadline(service.connections);
        connections_tick(service.connections, due);
        assert_true(connections_deadline(service.connections) == CLOCK_NEVER);
        process_wait_ended(refused);
        assert_true(connections_reap(service.connections, due));
        service_expect_none(&service);

        assert_int_equal(account_totals(service.connections, RECORD_TOTALS, due).live, 1);
        assert_int_equal(kill(served, SIGKILL), 0);
        process_wait_ended(served);
        assert_true(connections_reap(service.connections, due));
        service_expect(&service, RECORD_CRASHED);
        service_stop(&service);
}

/* A handler that neither announces a peer nor ends is killed when its time is over, and one that
 * outlives a refusal; one that serves its connection has time without end. */
static void test_expire(void **state) {
        (void)state;
        process_run(expire, NULL);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, service_set_up, service_tear_down, &service)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_one),    TEST(test_many),       TEST(test_slow),
                TEST(test_total),  TEST(test_per_source), TEST(test_end),
                TEST(test_report), TEST(test_stranger),   TEST(test_handed_over),
                TEST(test_kept),   TEST(test_no_header),  TEST(test_share),
                TEST(test_expire), TEST(test_no_handler),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
