/* SPDX-License-Identifier: MIT */
/* What the last process left is taken back: its connections, and its counts, whatever handlers may
 * have written there. */

#include "restart/restore.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/end_reason.h"
#include "manager.h"
#include "peer.h"
#include "process.h"
#include "restart/handover.h"
#include "seed.h"
#include "service.h"
#include "unit.h"

enum {
        SLOTS = 8, /* of the roster that was left */
        ROUNDS = 1000,
        PROCESSES = 10, /* that many rounds each */
};

static Service service;
static Manager manager;
static Stored stored;
static bool with_roster;

static int set_up(void **state) {
        (void)state;
        with_roster = false;
        service = (Service){};
        journald_start(&service.journald);
        manager_start(&manager);
        stored = (Stored){ .roster = -1 };
        return stored_init(&stored, SLOTS);
}

static int tear_down(void **state) {
        (void)state;
        stored_deinit(&stored);
        manager_stop(&manager);
        journald_stop(&service.journald);
        return 0;
}

/* What the store is told when everything has been taken. */
static void expect_store_emptied(void) {
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=" STORE_CONNECTION, 0);
        manager_expect(&manager, "FDSTOREREMOVE=1\nFDNAME=" STORE_PENDING, 0);
}

/* A connection that was stored. Returns the peer's end. */
static int store_connection(void) {
        int pair[2];

        peer_pair(pair);
        assert_true(stored_take(&stored, pair[1], STORE_CONNECTION));
        return pair[0];
}

/* The last process's roster is stored; it is still mapped here. */
static Roster *store_roster(void) {
        Roster *roster;

        assert_int_equal(roster_new(SLOTS, &roster), 0);
        assert_true(stored_take(&stored, roster_take_fd(roster), STORE_ROSTER));
        with_roster = true;
        return roster;
}

/* A connection in the last process's @roster. */
static RosterSlot *enter(Roster *roster, uint64_t cookie, uint64_t bytes, uint64_t age) {
        static const Listener listener = { .fd = -1 };
        const Address peer = { .family = AF_UNIX, .local = { .uid = 1000, .pid = 4242 } };
        uint32_t slot = roster_claim(roster, &peer, cookie, &listener, clock_now() - age);

        roster_assign(roster, slot, 77 + (pid_t)slot);
        roster_slot(roster, slot)->bytes = bytes;
        return roster_slot(roster, slot);
}

static void start(uint32_t most) {
        const Options options = { .max_connections = most };

        service_start_connections(&service, &options);
}

static void stop(void) {
        manager_expect_roster(&manager, with_roster);
        expect_store_emptied();
        assert_int_equal(stored.n_connections, 0);
        assert_int_equal(stored.n_pendings, 0);
        assert_int_equal(stored.roster, -1);
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

static void go_on(void *data) {
        Roster *before;
        int client;

        (void)data;
        start(5);
        client = store_connection();
        before = store_roster();
        (void)enter(before, socket_cookie(stored.connections[0]), 1000, 60 * CLOCK_SECOND);
        roster_counts(before)->served = 70;
        roster_counts(before)->refused = 6;
        roster_counts(before)->peak = 50;
        roster_counts(before)->bytes = 10000;
        assert_int_equal(resume(service.connections, &stored, service.journal), 0);
        service_expect(&service, RECORD_RESUMED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 1);
        peer_echo(client, "Hello");
        leave(client);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 1005);
        assert_in_range(journald_number(&service.journald, "MPECHO_DURATION_USEC"),
                        60 * CLOCK_SECOND, (60 + PATIENCE_SECONDS) * CLOCK_SECOND);
        assert_int_equal(roster_counts(connections_roster(service.connections))->served, 70);
        assert_int_equal(roster_counts(connections_roster(service.connections))->refused, 6);
        assert_int_equal(roster_counts(connections_roster(service.connections))->peak, 50);
        assert_int_equal(roster_total_bytes(connections_roster(service.connections)), 11005);
        roster_free(before);
        stop();
}

/* A stored connection gets a handler, and its bytes, its duration and the counts go on. */
static void test_goes_on(void **state) {
        (void)state;
        process_run(go_on, NULL);
}

static void take_once(void *data) {
        int client;

        (void)data;
        start(5);
        client = store_connection();
        assert_true(stored_take(&stored, dup(stored.connections[0]), STORE_CONNECTION));
        assert_int_equal(resume(service.connections, &stored, service.journal), 0);
        service_expect(&service, RECORD_RESUMED);
        assert_int_equal(journald_number(&service.journald, "MPECHO_LIVE"), 1);
        assert_int_equal(connections_live(service.connections), 1);
        peer_echo(client, "Hello");
        leave(client);
        stop();
}

/* A connection that is stored twice gets one handler. */
static void test_stored_twice(void **state) {
        (void)state;
        process_run(take_once, NULL);
}

static void write_pending(void *data) {
        int clients[3], pendings[2];

        (void)data;
        start(5);
        for (int i = 0; i < 3; i++)
                clients[i] = store_connection();
        for (int i = 0; i < 2; i++) {
                const uint64_t cookie = socket_cookie(stored.connections[2 - i]);
                const char text[] = { (char)('2' - i), '!' };

                pendings[i] = memfd_create("pending", MFD_CLOEXEC);
                assert_int_equal(write(pendings[i], &cookie, sizeof cookie), sizeof cookie);
                assert_int_equal(write(pendings[i], text, sizeof text), sizeof text);
                assert_true(stored_take(&stored, pendings[i], STORE_PENDING));
        }
        assert_int_equal(resume(service.connections, &stored, service.journal), 0);
        service_expect(&service, RECORD_RESUMED);
        for (int i = 0; i < 3; i++) {
                char text[8] = {};

                peer_send(clients[i], "new", 3);
                assert_int_equal(peer_receive(clients[i], text, i == 0 ? 3 : 5), i == 0 ? 3 : 5);
                assert_string_equal(text, ((const char *[]){ "new", "1!new", "2!new" })[i]);
        }
        for (int i = 0; i < 3; i++) {
                leave(clients[i]);
                assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"),
                                 i == 0 ? 3 : 5);
        }
        stop();
}

/* What was pending is written first, to the connection that it belongs to, and counted. */
static void test_pending(void **state) {
        (void)state;
        process_run(write_pending, NULL);
}

static void bury(void *data) {
        Roster *before;

        (void)data;
        start(5);
        before = store_roster();
        enter(before, 4711, 1000, 60 * CLOCK_SECOND)->reason = REASON_RESET_BY_PEER + 1;
        (void)enter(before, 0, 999, 0);
        assert_int_equal(resume(service.connections, &stored, service.journal), 0);
        service_expect(&service, RECORD_CLOSED);
        assert_string_equal(journald_text(&service.journald, "MPECHO_PEER"), "uid 1000 pid 4242");
        assert_string_equal(journald_text(&service.journald, "MPECHO_REASON"), "reset by peer");
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 1000);
        assert_int_equal(journald_number(&service.journald, "MPECHO_HANDLER_PID"), 77);
        assert_in_range(journald_number(&service.journald, "MPECHO_DURATION_USEC"),
                        60 * CLOCK_SECOND, (60 + PATIENCE_SECONDS) * CLOCK_SECOND);
        assert_int_equal(roster_total_bytes(connections_roster(service.connections)), 1000);
        roster_free(before);
        stop();
}

/* A connection of the roster that was not stored has ended: that is told, and its bytes counted;
 * nothing is told of a free slot. */
static void test_ended_meanwhile(void **state) {
        (void)state;
        process_run(bury, NULL);
}

static void refuse(void *data) {
        int client;

        (void)data;
        start(5);
        client = store_connection();
        assert_true(stored_take(&stored, memfd_create("none", MFD_CLOEXEC), STORE_ROSTER));
        with_roster = true;
        assert_int_equal(resume(service.connections, &stored, service.journal), 0);
        service_expect(&service, RECORD_RECOUNTED);
        service_expect(&service, RECORD_RESUMED);
        peer_echo(client, "Hello");
        leave(client);
        assert_int_equal(journald_number(&service.journald, "MPECHO_BYTES"), 5);
        stop();
}

/* What is no roster is told, and connections go on without. */
static void test_no_roster(void **state) {
        (void)state;
        process_run(refuse, NULL);
}

/* Writes anything to @roster, as its handlers could, but leaves some slots free and others to whom
 * they belong. Returns the bytes that its counts and the slots of connections that ended have. */
static uint64_t scribble(Roster *roster, uint64_t cookie) {
        uint64_t bytes;

        seed_fill(roster_counts(roster), sizeof *roster_counts(roster));
        bytes = roster_counts(roster)->bytes;
        for (uint32_t i = 0; i < SLOTS; i++) {
                RosterSlot *slot = roster_slot(roster, i);

                seed_fill(slot, sizeof *slot);
                if (random() % 4 == 0)
                        slot->cookie = 0;
                else if (random() % 4 == 0)
                        slot->cookie = cookie;
                if (random() % 2 == 0)
                        slot->peer.family =
                                        (sa_family_t[]){ AF_INET, AF_INET6, AF_UNIX }[random() % 3];
                if (slot->cookie != 0 && slot->cookie != cookie)
                        bytes += slot->bytes;
        }
        return bytes;
}

/* Stores up to three things as pending that nobody has left. */
static void store_anything(void) {
        for (long i = random() % 4; i > 0; i--) {
                const size_t size = (size_t)random() % 32;
                char data[32];
                int pending = memfd_create("anything", MFD_CLOEXEC);

                seed_fill(data, sizeof data);
                assert_int_equal(write(pending, data, size), size);
                assert_true(stored_take(&stored, pending, STORE_PENDING));
        }
}

/* Resumes from a random roster, with a connection if @connected. */
static void resume_from_anything(bool connected) {
        const Options options = { .max_connections = 2 };
        const Listeners none = { .connection = -1 };
        Connections *connections;
        RosterCounts counts, *now;
        Roster *before = store_roster();
        int client = connected ? store_connection() : -1;
        uint64_t cookie = connected ? socket_cookie(stored.connections[0]) : 0, bytes;

        store_anything();
        bytes = scribble(before, cookie);
        counts = *roster_counts(before);
        assert_int_equal(connections_new(&options, &none, service.journal, &connections), 0);
        resume(connections, &stored, service.journal);
        manager_expect_roster(&manager, true);
        expect_store_emptied();
        now = roster_counts(connections_roster(connections));
        assert_true(now->served == counts.served);
        assert_true(now->refused == counts.refused);
        assert_true(now->peak == counts.peak || (connected && now->peak == 1));
        assert_true(now->bytes == bytes);
        assert_true(now->started_usec <= clock_now());
        assert_int_equal(connections_live(connections), connected);
        if (connected) {
                assert_true(roster_entry(connections_roster(connections), 0)->started_usec <=
                            clock_now());
                peer_echo(client, "Hello");
                close(client);
                process_wait_ended(roster_entry(connections_roster(connections), 0)->handler);
                connections_reap(connections, clock_now());
                assert_int_equal(connections_live(connections), 0);
        }
        connections_free(connections);
        roster_free(before);
}

static void resume_often(void *data) {
        start(5);
        srandom(*(const unsigned *)data);
        for (int i = 0; i < ROUNDS; i++) {
                resume_from_anything(i % 100 == 0);
                /* Nobody has to read all that. */
                while (journald_take(&service.journald))
                        ;
        }
        manager_stop(&manager);
        connections_free(service.connections);
        listeners_free(service.listeners);
        journal_free(service.journal);
}

/* Whatever numbers a roster has, they are taken as counts, and nothing worse comes of it. */
static void test_anything(void **state) {
        const unsigned first = seed_choose();

        (void)state;
        for (unsigned seed = first; seed < first + PROCESSES; seed++)
                process_run(resume_often, &seed);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_goes_on),         TEST(test_stored_twice), TEST(test_pending),
                TEST(test_ended_meanwhile), TEST(test_no_roster),    TEST(test_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
