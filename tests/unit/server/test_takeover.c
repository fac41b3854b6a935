/* SPDX-License-Identifier: MIT */
/* A master takes back what earlier runs stored, whatever their handlers have written there. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clone.h"
#include "fault.h"
#include "lib/clock.h"
#include "lib/mapping.h"
#include "lib/socket.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "report/end_reason.h"
#include "restart/bundle.h"
#include "restart/restore.h"
#include "restart/unsent.h"
#include "seed.h"
#include "server/account.h"
#include "server/takeover.h"
#include "service.h"
#include "unit.h"

#define CONNECTION "mpecho-connection.3"
#define LEDGER     "mpecho-ledger.3"

enum {
        SLOTS = 8, /* of the ledger that was left */
        ROUNDS = 300,
};

FAULT(int, socketpair, socketpair, (int family, int type, int protocol, int ends[2]),
      (family, type, protocol, ends))

static Service service;
static Manager manager;
static Restore restore;
static Ledger *before;  /* of the last run, still mapped here */
static uint64_t cookie; /* of the connection stored last */

static int set_up(void **state) {
        (void)state;
        service = (Service){};
        journald_start(&service.journald);
        manager_start(&manager);
        before = NULL;
        return restore_init(&restore, SLOTS);
}

static int tear_down(void **state) {
        (void)state;
        restore_deinit(&restore);
        manager_stop(&manager);
        journald_stop(&service.journald);
        return 0;
}

static void start(void) {
        const Options options = { .max_connections = 5, .max_per_source = 5 };

        service_start_connections(&service, &options);
}

/* Stores a connection, with unsent bytes unless @text is NULL. Returns the peer's end. */
static int store_connection(const char *name, const char *text) {
        int pair[2], both[2];

        peer_pair_tcp(pair);
        cookie = socket_cookie(pair[1]);
        both[0] = pair[1];
        both[1] = text != NULL ? unsent_new(text, strlen(text)) : -1;
        assert_true(restore_take(&restore, bundle_new(both, text != NULL ? 2 : 1), name));
        close(both[0]);
        if (text != NULL)
                close(both[1]);
        return pair[0];
}

static void store_ledger(const char *name) {
        assert_int_equal(ledger_new(SLOTS, 1000, &before), 0);
        assert_true(restore_take(&restore, ledger_take_bundle(before), name));
}

/* Enters a connection in the last run's ledger. */
static LedgerEntry *enter(uint32_t slot, uint64_t its_cookie, uint64_t bytes, uint64_t age) {
        LedgerFacts *facts = ledger_facts(before, slot);

        *facts = (LedgerFacts){ .cookie = its_cookie,
                                .started = clock_now() - age,
                                .peer = { .family = AF_UNIX,
                                          .local = { .uid = 1000, .pid = 4242 } },
                                .handler = 77 + (pid_t)slot,
                                .listener = "[::]:7" };
        ledger_entry(before, slot)->bytes = bytes;
        return ledger_entry(before, slot);
}

/* In place of the C library's, by which a process waits for systemd: the test plays systemd later.
 */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
        (void)timeout;
        (void)mask;
        assert_int_equal(n, 1);
        assert_int_equal(fds->events, 0);
        return 1;
}

/* Restores: the ledger of this run is in the store before what it replaces is removed. */
static void restore_all(const char *ledger, size_t n_removed, const char *const *removed) {
        const bool any = restore.n > 0;

        assert_int_equal(restore_prepare(&restore), 0);
        assert_int_equal(takeover_readmit(service.connections, &restore, clock_now()), 0);
        takeover_start(service.connections, &restore, clock_now());
        manager_expect_bundle(&manager, ledger, 2);
        if (any)
                manager_expect_barrier(&manager);
        for (size_t i = 0; i < n_removed; i++)
                manager_expect_removed(&manager, removed[i]);
        if (restore.n_found > 0)
                manager_expect_barrier(&manager);
        manager_expect_none(&manager);
}

#define RESTORE(ledger, ...)                                                                       \
        do {                                                                                       \
                static const char *const removed[] = { __VA_ARGS__ };                              \
                                                                                                   \
                restore_all(ledger, COUNT(removed), removed);                                      \
        } while (0)

static void expect_resumed(uint32_t live) {
        service_expect(&service, RECORD_RESUMED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), live);
        assert_int_equal(roster_live(service.connections->roster), live);
}

static uint64_t total_bytes(void) {
        return account_totals(service.connections, RECORD_TOTALS, clock_now()).bytes;
}

static void stop(void) {
        ledger_free(before);
        manager_stop(&manager);
        service_stop(&service);
}

/* Closes @client, and takes the record of the end of its connection. */
static void leave(int client) {
        close(client);
        do {
                (void)poll(NULL, 0, 1);
                connections_reap(service.connections, clock_now());
                service_flush(&service);
        } while (!journald_take(&service.journald));
        assert_true(journald_is(&service.journald, RECORD_CLOSED));
}

static void expect_closed(const char *reason, uint64_t bytes) {
        service_expect(&service, RECORD_CLOSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), reason);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), bytes);
}

/* Nobody saw the signal that killed the handler. */
static void expect_crashed(uint64_t bytes) {
        service_expect(&service, RECORD_CRASHED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_SIGNAL"), 0);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), bytes);
}

/* Expects these numbers of connections that were closed, crashed and refused. */
static void expect_counts(const MetricsCounts *expected) {
        const MetricsCounts *counts = account_counts(service.connections);

        assert_memory_equal(counts->closed, expected->closed, sizeof counts->closed);
        assert_memory_equal(counts->refused, expected->refused, sizeof counts->refused);
        assert_int_equal(counts->crashed, expected->crashed);
}

static void start_first(void *data) {
        (void)data;
        start();
        restore_all("mpecho-ledger.1", 0, NULL);
        service_expect_none(&service);
        stop();
}

/* The first run stores its ledger, and has nothing to tell. */
static void test_first(void **state) {
        (void)state;
        process_run(start_first, NULL);
}

static void go_on(void *data) {
        LedgerCounts *counts;
        Record totals;
        int client;

        (void)data;
        start();
        client = store_connection(CONNECTION, NULL);
        store_ledger(LEDGER);
        (void)enter(2, cookie, 1000, 60 * CLOCK_SECOND);
        counts = ledger_counts(before);
        *counts = (LedgerCounts){
                .started = counts->started,
                .peak = 50,
                .metrics = { .accepted = 70, .refused = { 1, 2, 3 }, .bytes = 10000 }
        };
        RESTORE("mpecho-ledger.4", CONNECTION, LEDGER);
        expect_resumed(1);
        peer_echo(client, "Hello");
        leave(client);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "uid 1000 pid 4242");
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 1005);
        assert_in_range(journald_number(&service.journald, "MPECHO_DURATION_USEC"), 60 * 1000000,
                        (60 + 5 * PATIENCE_SECONDS) * 1000000);
        totals = account_totals(service.connections, RECORD_TOTALS, 2000);
        assert_int_equal(totals.served, 70);
        assert_int_equal(totals.refused, 6);
        assert_int_equal(totals.peak, 50);
        assert_int_equal(totals.bytes, 11005);
        assert_int_equal(totals.duration, 1000);
        assert_int_equal(account_counts(service.connections)->resumed, 1);
        assert_int_equal(account_counts(service.connections)->closed[END_CLOSED_BY_PEER], 1);
        stop();
}

/* A stored connection gets a handler, and its bytes, its duration and the counts go on. Its peer is
 * that of the ledger: a handler can have connected it elsewhere. */
static void test_goes_on(void **state) {
        (void)state;
        process_run(go_on, NULL);
}

static void resume_reset(void *data) {
        int client;

        (void)data;
        start();
        client = store_connection(CONNECTION, NULL);
        store_ledger(LEDGER);
        (void)enter(0, cookie, 5, 0);
        socket_reset(client);
        RESTORE("mpecho-ledger.4", CONNECTION, LEDGER);
        expect_resumed(1);
        leave(dup(STDIN_FILENO));
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "uid 1000 pid 4242");
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "reset by peer");
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
        stop();
}

/* A connection that its peer has reset in the store has the peer of the ledger. */
static void test_reset(void **state) {
        (void)state;
        process_run(resume_reset, NULL);
}

static void lack_descriptors(void *data) {
        (void)data;
        start();
        assert_int_equal(restore_prepare(&restore), 0);
        socketpair_fault = (CallFault){ .error = EMFILE, .times = 1 };
        assert_int_equal(takeover_readmit(service.connections, &restore, clock_now()), -EMFILE);
        manager_expect_none(&manager);
        stop();
}

/* A run that cannot store its ledger does not begin. */
static void test_no_descriptors(void **state) {
        (void)state;
        process_run(lack_descriptors, NULL);
}

static void lack_room(void *data) {
        (void)data;
        start();
        assert_int_equal(restore_prepare(&restore), 0);
        socketpair_fault = (CallFault){ .error = ETOOMANYREFS, .times = 3 };
        assert_int_equal(takeover_readmit(service.connections, &restore, clock_now()), 0);
        manager_expect_none(&manager);
        takeover_start(service.connections, &restore, clock_now());
        assert_int_equal(socketpair_fault.times, 0);
        manager_expect_stored(&manager, "mpecho-ledger.1");
        stop();
}

/* A run that cannot store its ledger beside what the store has stores it once that is removed. */
static void test_no_room(void **state) {
        (void)state;
        process_run(lack_room, NULL);
}

static void name_listener(void *data) {
        int client;

        (void)data;
        start();
        client = store_connection(CONNECTION, NULL);
        store_ledger(LEDGER);
        (void)enter(0, cookie, 0, 0);
        memcpy(ledger_facts(before, 0)->listener, service.listeners->items[0].text,
               sizeof service.listeners->items[0].text);
        RESTORE("mpecho-ledger.4", CONNECTION, LEDGER);
        expect_resumed(1);
        leave(client);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LISTENER"),
                            service.listeners->items[0].text);
        stop();
}

/* The ledger names the listener of a stored connection, whatever the connection's own address. */
static void test_listener(void **state) {
        (void)state;
        process_run(name_listener, NULL);
}

static void restore_beyond_limits(void *data) {
        int clients[6];

        (void)data;
        for (int i = 0; i < 6; i++)
                clients[i] = store_connection(CONNECTION, NULL);
        start();
        connections_free(service.connections);
        service.options.max_connections = service.options.max_per_source = 1;
        assert_int_equal(connections_new(&service.options, service.listeners, restore.n_found,
                                         service.journal, &service.connections),
                         0);
        RESTORE("mpecho-ledger.4", CONNECTION);
        service_expect(&service, RECORD_RECOUNTED);
        expect_resumed(6);
        assert_false(connections_can_accept(service.connections));
        for (int i = 0; i < 6; i++)
                peer_echo(clients[i], "Hello");
        for (int i = 0; i < 6; i++)
                leave(clients[i]);
        assert_true(connections_can_accept(service.connections));
        stop();
}

/* All stored connections are taken back, whatever the limits are. */
static void test_limits(void **state) {
        (void)state;
        process_run(restore_beyond_limits, NULL);
}

static void write_unsent(void *data) {
        static const char *const expected[] = { "new", "1!new", "2!new" };
        int clients[3];

        (void)data;
        start();
        clients[0] = store_connection(CONNECTION, NULL);
        clients[1] = store_connection(CONNECTION, "1!");
        clients[2] = store_connection("mpecho-connection.2", "2!");
        RESTORE("mpecho-ledger.4", CONNECTION, "mpecho-connection.2");
        service_expect(&service, RECORD_RECOUNTED);
        expect_resumed(3);
        for (int i = 0; i < 3; i++) {
                char text[8] = {};

                peer_send(clients[i], "new", 3);
                assert_int_equal(peer_receive(clients[i], text, strlen(expected[i])),
                                 strlen(expected[i]));
                assert_string_equal(text, expected[i]);
        }
        for (int i = 0; i < 3; i++) {
                leave(clients[i]);
                assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"),
                                 strlen(expected[i]));
        }
        stop();
}

/* Unsent bytes are written first, to the connection that they belong to, and counted. */
static void test_unsent(void **state) {
        (void)state;
        process_run(write_unsent, NULL);
}

static void lose_unsent(void *data) {
        const int unsent = unsent_new("x", 1);
        int pair[2];

        (void)data;
        start();
        peer_pair_tcp(pair);
        assert_true(restore_take(&restore, bundle_new((int[]){ pair[1], unsent }, 2), CONNECTION));
        close(pair[1]);
        assert_int_equal(unsent_take(unsent, &(char){ 0 }, 1), 1);
        RESTORE("mpecho-ledger.4", CONNECTION);
        service_expect(&service, RECORD_RECOUNTED);
        expect_resumed(1);
        peer_expect_reset(pair[0]);
        leave(pair[0]);
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "failed");
        stop();
}

/* A connection whose unsent bytes another handler has taken is reset: its stream has a hole. */
static void test_unsent_lost(void **state) {
        (void)state;
        process_run(lose_unsent, NULL);
}

static void bury(void *data) {
        (void)data;
        start();
        store_ledger(LEDGER);
        enter(0, 4711, 1000, 60 * CLOCK_SECOND)->reason = END_RESET_BY_PEER + 1;
        (void)enter(1, 0, 999, 0);
        enter(2, 4712, 1, 0)->reason = UINT32_MAX;
        RESTORE("mpecho-ledger.4", LEDGER);
        expect_closed("reset by peer", 1000);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "uid 1000 pid 4242");
        assert_string_equal(journald_text(&service.journald, "MPECHO_LISTENER"), "[::]:7");
        assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"), 77);
        assert_in_range(journald_number(&service.journald, "MPECHO_DURATION_USEC"), 60 * 1000000,
                        (60 + 5 * PATIENCE_SECONDS) * 1000000);
        expect_closed("failed", 1);
        assert_int_equal(total_bytes(), 1001);
        expect_counts(&(MetricsCounts){ .closed = { [END_RESET_BY_PEER] = 1, [END_FAILED] = 1 } });
        stop();
}

/* A connection of the ledger that was not stored has ended: that is told, and it and its bytes are
 * counted; nothing is told of a free slot. */
static void test_ended_meanwhile(void **state) {
        (void)state;
        process_run(bury, NULL);
}

/* Makes the entry one of a PROXY listener. */
static void enter_proxied(uint32_t slot, uint64_t its_cookie, LedgerState state) {
        LedgerFacts *facts;

        (void)enter(slot, its_cookie, 0, 0);
        facts = ledger_facts(before, slot);
        facts->state = state;
        if (state == LEDGER_SILENT)
                return;
        facts->proxy = facts->peer;
        facts->peer = (Address){ .family = AF_INET, .port = 7 };
}

static void resume_proxied(void *data) {
        int served, silent, refused;

        (void)data;
        start();
        store_ledger(LEDGER);
        served = store_connection(CONNECTION, NULL);
        enter_proxied(0, cookie, LEDGER_SERVED);
        silent = store_connection(CONNECTION, "PROXY ");
        enter_proxied(1, cookie, LEDGER_SILENT);
        refused = store_connection(CONNECTION, NULL);
        enter_proxied(2, cookie, LEDGER_REFUSED);
        RESTORE("mpecho-ledger.4", CONNECTION, LEDGER);
        expect_resumed(2);
        peer_expect_reset(refused);
        close(refused);
        peer_echo(served, "Hello");
        assert_int_equal(roster_silent(service.connections->roster), 1);
        /* The unsent bytes are the beginning of its header, not of its stream. */
        peer_send(silent, "\n", 1);
        peer_expect_reset(silent);
        close(silent);
        do {
                (void)poll(NULL, 0, 1);
                connections_reap(service.connections, clock_now());
        } while (roster_live(service.connections->roster) > 1);
        service_expect(&service, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_LIMIT"), "proxy-header");
        leave(served);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "0.0.0.0:7");
        assert_string_equal(journald_text(&service.journald, "MPECHO_PROXY"), "uid 1000 pid 4242");
        stop();
}

/* A connection keeps its announced peer, a silent one stays silent, and a refused one ends. */
static void test_proxied(void **state) {
        (void)state;
        process_run(resume_proxied, NULL);
}

static void bury_proxied(void *data) {
        (void)data;
        start();
        store_ledger(LEDGER);
        enter_proxied(0, 4711, LEDGER_SERVED);
        enter_proxied(1, 4712, LEDGER_SILENT);
        ledger_entry(before, 1)->reason = (uint32_t)INT32_MAX + 2;
        enter_proxied(2, 4713, LEDGER_REFUSED);
        RESTORE("mpecho-ledger.4", LEDGER);
        expect_crashed(0);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "0.0.0.0:7");
        assert_string_equal(journald_text(&service.journald, "MPECHO_PROXY"), "uid 1000 pid 4242");
        service_expect(&service, RECORD_REFUSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "uid 1000 pid 4242");
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "failed");
        expect_counts(&(MetricsCounts){ .crashed = 1, .refused = { [METRICS_PROXY_HEADER] = 1 } });
        stop();
}

/* Of connections that ended meanwhile, a silent one is refused, and a refused one was logged. */
static void test_proxied_ended_meanwhile(void **state) {
        (void)state;
        process_run(bury_proxied, NULL);
}

static void reset_begun(void *data) {
        int client;

        (void)data;
        start();
        client = store_connection("mpecho-connection.2", NULL);
        store_ledger(LEDGER);
        (void)enter(0, cookie, 1000, 0);
        ledger_facts(before, 0)->begun = 1;
        RESTORE("mpecho-ledger.4", "mpecho-connection.2", LEDGER);
        expect_crashed(1000);
        assert_int_equal(roster_live(service.connections->roster), 0);
        assert_int_equal(total_bytes(), 1000);
        expect_counts(&(MetricsCounts){ .crashed = 1 });
        peer_expect_reset(client);
        close(client);
        stop();
}

/* The master resets a connection that a killed run had begun to serve, and logs a crash. */
static void test_begun(void **state) {
        (void)state;
        process_run(reset_begun, NULL);
}

static void lose_ledger(void *data) {
        const bool *unreadable = data;
        int client;

        start();
        client = store_connection(CONNECTION, NULL);
        if (*unreadable) {
                assert_true(restore_take(&restore, mapping_new_file("none"), LEDGER));
                RESTORE("mpecho-ledger.4", CONNECTION, LEDGER);
        } else {
                RESTORE("mpecho-ledger.4", CONNECTION);
        }
        service_expect(&service, RECORD_RECOUNTED);
        expect_resumed(1);
        assert_int_equal(account_counts(service.connections)->accepted, 1);
        peer_echo(client, "Hello");
        leave(client);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
        assert_int_equal(account_counts(service.connections)->closed[END_CLOSED_BY_PEER], 1);
        stop();
}

/* A ledger that cannot be read, or for which the store had no room, is reported; connections go on
 * without, and are accepted ones of the new counts. */
static void test_no_ledger(void **state) {
        bool unreadable = true;

        (void)state;
        process_run(lose_ledger, &unreadable);
        unreadable = false;
        process_run(lose_ledger, &unreadable);
}

static void fail_to_fork(void *data) {
        int clients[2];

        (void)data;
        start();
        clients[0] = store_connection(CONNECTION, NULL);
        store_ledger(LEDGER);
        (void)enter(0, cookie, 1000, 0);
        clients[1] = store_connection("mpecho-connection.2", NULL);
        clone_fail(EAGAIN, 1);
        /* Its entry is in the newer ledger. */
        (void)enter(1, cookie, 0, 0);
        RESTORE("mpecho-ledger.4", CONNECTION, "mpecho-connection.2", LEDGER);
        expect_closed("failed", 1000);
        assert_int_equal(total_bytes(), 1000);
        service_expect(&service, RECORD_RESUMED);
        assert_int_equal(roster_live(service.connections->roster), 1);
        peer_expect_reset(clients[0]);
        close(clients[0]);
        peer_echo(clients[1], "Hello");
        leave(clients[1]);
        stop();
}

/* Without a process to be had a connection of an earlier run ends with a reset, what was echoed on
 * it stays counted, and the next one goes on. */
static void test_fork(void **state) {
        (void)state;
        process_run(fail_to_fork, NULL);
}

/* Writes anything to the entries of @before, as its handlers could. Returns the bytes of those
 * whose connections ended. */
static uint64_t scribble(bool connected) {
        uint64_t bytes = 0;

        for (uint32_t i = 0; i < SLOTS; i++) {
                seed_fill(ledger_entry(before, i), sizeof *ledger_entry(before, i));
                (void)enter(i,
                            i == 0 && connected ? cookie
                            : random() % 4 == 0 ? 0
                                                : 1 + i,
                            ledger_entry(before, i)->bytes, 0);
                if (ledger_facts(before, i)->cookie != 0 && !(i == 0 && connected))
                        bytes += ledger_entry(before, i)->bytes;
        }
        for (size_t i = 0; i < sizeof(uint32_t); i++)
                ((unsigned char *)ledger_exits(before))[i] = (unsigned char)random();
        return bytes;
}

/* Restores from a random ledger, with a connection if @connected. */
static void restore_from_anything(bool connected) {
        const int client = connected ? store_connection(CONNECTION, NULL) : -1;
        const Options options = { .max_connections = 2 };
        const Listeners none = {};
        Connections *connections;
        uint64_t bytes;
        Record totals;

        store_ledger(LEDGER);
        bytes = scribble(connected);
        assert_int_equal(restore_prepare(&restore), 0);
        assert_int_equal(connections_new(&options, &none, 0, service.journal, &connections), 0);
        assert_int_equal(takeover_readmit(connections, &restore, clock_now()), 0);
        takeover_start(connections, &restore, clock_now());
        manager_expect_bundle(&manager, "mpecho-ledger.4", 2);
        manager_expect_barrier(&manager);
        if (connected)
                manager_expect_removed(&manager, CONNECTION);
        manager_expect_removed(&manager, LEDGER);
        if (connected)
                manager_expect_barrier(&manager);
        totals = account_totals(connections, RECORD_TOTALS, clock_now());
        assert_int_equal(totals.live, connected);
        assert_int_equal(totals.peak, connected);
        if (connected) {
                peer_echo(client, "Hello");
                close(client);
                while (roster_live(connections->roster) > 0) {
                        (void)poll(NULL, 0, 1);
                        connections_reap(connections, clock_now());
                }
        } else {
                assert_true(totals.bytes == bytes);
        }
        connections_free(connections);
        before = ledger_free(before);
        restore_deinit(&restore);
        assert_int_equal(restore_init(&restore, SLOTS), 0);
}

static void restore_often(void *data) {
        start();
        srandom(*(const unsigned *)data);
        for (int i = 0; i < ROUNDS; i++) {
                restore_from_anything(i % 50 == 0);
                /* Nobody has to read all that. */
                while (journald_take(&service.journald))
                        ;
        }
        manager_stop(&manager);
        connections_free(service.connections);
        listeners_free(service.listeners);
        journal_free(service.journal);
}

/* Whatever numbers handlers have written, they are reported, and nothing worse comes of it. */
static void test_anything(void **state) {
        unsigned seed = seed_choose();

        (void)state;
        process_run(restore_often, &seed);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_first),           TEST(test_goes_on),
                TEST(test_reset),           TEST(test_no_descriptors),
                TEST(test_no_room),         TEST(test_limits),
                TEST(test_unsent),          TEST(test_unsent_lost),
                TEST(test_proxied),         TEST(test_proxied_ended_meanwhile),
                TEST(test_ended_meanwhile), TEST(test_begun),
                TEST(test_no_ledger),       TEST(test_fork),
                TEST(test_anything),        TEST(test_listener),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
