/* SPDX-License-Identifier: MIT */
/* The live connections, and what they leave in the ledger. */

#include "server/roster.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static const Address somebody = { .family = AF_UNIX, .local = { .uid = 1000, .pid = 4242 } };

static const Listener listener = { .fd = -1, .text = "[::]:7" };

enum {
        STARTED = 1000,
};

static Connection *take(Roster *roster, pid_t handler) {
        Connection *connection = roster_add(roster, &somebody, 17, &listener, STARTED);

        assert_non_null(connection);
        roster_assign(roster, connection, handler);
        return connection;
}

/* The first number is the size of the process's memory, proc_pid_statm(5). */
static void read_memory(char text[static 64]) {
        const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        const ssize_t n = read(fd, text, 63);

        assert_true(n > 0);
        text[n] = '\0';
        text[strcspn(text, " ")] = '\0';
        close(fd);
}

/* A roster that is freed leaves no memory behind. */
static void test_memory(void **state) {
        char before[64], with[64], after[64];
        Roster *roster;

        (void)state;
        read_memory(before);
        assert_int_equal(roster_new(1 << 10, &roster), 0);
        read_memory(with);
        assert_string_not_equal(with, before);
        roster_free(roster);
        read_memory(after);
        assert_string_equal(after, before);
}

/* There is room for as many connections as promised, each once, and again when they were removed.
 */
static void test_room(void **state) {
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(5, &roster), 0);
        for (int round = 0; round < 3; round++) {
                Connection *taken[5];

                for (pid_t pid = 1; pid <= 5; pid++) {
                        taken[pid - 1] = take(roster, pid);
                        for (pid_t other = 1; other < pid; other++) {
                                assert_ptr_not_equal(taken[pid - 1], taken[other - 1]);
                                assert_ptr_not_equal(taken[pid - 1]->ledger,
                                                     taken[other - 1]->ledger);
                        }
                }
                assert_int_equal(roster_live(roster), 5);
                assert_null(roster_add(roster, &somebody, 17, &listener, 0));
                assert_int_equal(roster_live(roster), 5);
                for (pid_t pid = 5; pid >= 1; pid--) {
                        assert_ptr_equal(roster_find(roster, pid), taken[pid - 1]);
                        roster_remove(roster, taken[pid - 1]);
                }
                assert_int_equal(roster_live(roster), 0);
        }
        assert_null(roster_free(roster));
}

/* A connection has what it was added with, and is found by its handler. */
static void test_facts(void **state) {
        Connection *connection;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        assert_null(roster_find(roster, 77));
        connection = roster_add(roster, &somebody, 17, &listener, 12345);
        assert_int_equal(connection->peer.local.pid, 4242);
        assert_string_equal(connection->peer_text, "uid 1000 pid 4242");
        assert_ptr_equal(connection->listener, &listener);
        assert_int_equal(connection->started, 12345);
        assert_int_equal(connection->cookie, 17);
        assert_int_equal(connection->handler, 0);
        assert_false(connection->stored);
        assert_false(connection->channel_used);
        assert_null(roster_find(roster, 0));
        roster_assign(roster, connection, 77);
        assert_int_equal(connection->handler, 77);
        assert_ptr_equal(roster_find(roster, 77), connection);
        assert_null(roster_find(roster, 78));
        connection->stored = connection->channel_used = true;
        roster_remove(roster, connection);
        assert_null(roster_find(roster, 77));
        connection = take(roster, 78);
        assert_false(connection->stored);
        assert_false(connection->channel_used);
        roster_free(roster);
}

static void expect_order(const Roster *roster, const pid_t *pids, size_t n) {
        const Connection *connection = NULL;

        for (size_t i = 0; i < n; i++) {
                connection = roster_next(roster, connection);
                assert_non_null(connection);
                assert_int_equal(connection->handler, pids[i]);
        }
        assert_null(roster_next(roster, connection));
}

/* The connections come in the order in which they were added, whichever was removed: the first, the
 * last, one between, all. */
static void test_order(void **state) {
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(4, &roster), 0);
        expect_order(roster, NULL, 0);
        for (pid_t pid = 1; pid <= 4; pid++)
                (void)take(roster, pid);
        expect_order(roster, (pid_t[]){ 1, 2, 3, 4 }, 4);
        roster_remove(roster, roster_find(roster, 2));
        expect_order(roster, (pid_t[]){ 1, 3, 4 }, 3);
        (void)take(roster, 5);
        expect_order(roster, (pid_t[]){ 1, 3, 4, 5 }, 4);
        roster_remove(roster, roster_find(roster, 1));
        expect_order(roster, (pid_t[]){ 3, 4, 5 }, 3);
        roster_leave(roster, roster_find(roster, 5));
        expect_order(roster, (pid_t[]){ 3, 4 }, 2);
        (void)take(roster, 6);
        roster_remove(roster, roster_find(roster, 3));
        roster_remove(roster, roster_find(roster, 4));
        expect_order(roster, (pid_t[]){ 6 }, 1);
        roster_remove(roster, roster_find(roster, 6));
        expect_order(roster, NULL, 0);
        (void)take(roster, 7);
        expect_order(roster, (pid_t[]){ 7 }, 1);
        roster_free(roster);
}

/* A connection that never got a handler has no part in the peak, but its bytes stay counted. */
static void test_unassigned(void **state) {
        const LedgerFacts before = { .started = 500 };
        Connection *connection;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        roster_remove(roster, roster_add(roster, &somebody, 17, &listener, 0));
        assert_int_equal(roster_total_bytes(roster), 0);
        connection = roster_add(roster, &somebody, 18, &listener, 0);
        assert_int_equal(roster_live(roster), 1);
        roster_resume(roster, connection, &before, 99);
        assert_int_equal(roster_total_bytes(roster), 99);
        roster_remove(roster, connection);
        assert_int_equal(roster_live(roster), 0);
        assert_int_equal(ledger_counts(roster_ledger(roster))->peak, 0);
        assert_int_equal(roster_total_bytes(roster), 99);
        (void)take(roster, 1);
        (void)take(roster, 2);
        roster_remove(roster, roster_find(roster, 1));
        assert_int_equal(ledger_counts(roster_ledger(roster))->peak, 2);
        roster_free(roster);
}

static void count_to_7000(void *data) {
        LedgerEntry *entry = data;

        for (int i = 0; i < 7000; i++)
                entry->bytes++;
}

/* Bytes that a handler counted outlive it. A connection begins with none, and no reason. The total
 * has those of ended connections, of live ones, and of those that were handed over. */
static void test_bytes(void **state) {
        Connection *one, *other;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        one = take(roster, 1);
        other = take(roster, 2);
        process_run(count_to_7000, one->ledger);
        assert_int_equal(one->ledger->bytes, 7000);
        assert_int_equal(other->ledger->bytes, 0);
        other->ledger->bytes = 5;
        assert_int_equal(roster_total_bytes(roster), 7005);
        one->ledger->reason = 1;
        roster_remove(roster, one);
        assert_int_equal(roster_total_bytes(roster), 7005);
        one = take(roster, 3);
        assert_int_equal(one->ledger->bytes, 0);
        assert_int_equal(one->ledger->reason, 0);
        assert_int_equal(roster_total_bytes(roster), 7005);
        roster_leave(roster, other);
        assert_int_equal(roster_total_bytes(roster), 7005);
        assert_int_equal(ledger_counts(roster_ledger(roster))->metrics.bytes, 7000);
        roster_free(roster);
}

static const LedgerFacts *find_facts(Roster *roster, uint64_t cookie) {
        const Ledger *ledger = roster_ledger(roster);

        for (uint32_t slot = 0; slot < ledger_slots(ledger); slot++)
                if (ledger_facts(ledger, slot)->cookie == cookie)
                        return ledger_facts(ledger, slot);
        return NULL;
}

/* The ledger has, at the slot by which the connection is found, what the next master needs. A
 * connection that ended is not there any more, and one that was handed over is. */
static void test_ledger(void **state) {
        Connection *ended, *left;
        const LedgerFacts *facts;
        const pid_t *noted;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(3, &roster), 0);
        assert_int_equal(ledger_slots(roster_ledger(roster)), 3);
        ended = roster_add(roster, &somebody, 18, &listener, 500);
        left = roster_add(roster, &somebody, 19, &listener, 501);
        for (uint32_t slot = 0; slot < 3; slot++) {
                const Connection *at = roster_at(roster, slot);

                if (at == ended || at == left)
                        assert_ptr_equal(ledger_entry(roster_ledger(roster), slot), at->ledger);
                else
                        assert_int_equal(at->handler, 0);
        }
        assert_int_equal(find_facts(roster, 19)->begun, 0);
        noted = roster_begin(roster, left);
        facts = find_facts(roster, 19);
        assert_non_null(facts);
        assert_ptr_equal(noted, &facts->handler);
        assert_int_equal(facts->handler, 0);
        roster_assign(roster, left, 77);
        assert_int_equal(facts->begun, 1);
        assert_int_equal(facts->started, 501);
        assert_int_equal(facts->handler, 77);
        assert_int_equal(facts->peer.local.pid, 4242);
        assert_string_equal(facts->listener, "[::]:7");
        roster_remove(roster, ended);
        assert_null(find_facts(roster, 18));
        roster_leave(roster, left);
        assert_ptr_equal(find_facts(roster, 19), facts);
        assert_null(roster_find(roster, 77));
        assert_int_equal(roster_live(roster), 0);
        roster_free(roster);
}

/* A connection goes on from the start and the bytes that it had, and never from the future. */
static void test_resume(void **state) {
        const LedgerFacts before = { .started = 500 }, future = { .started = UINT64_MAX };
        Connection *one, *other;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        one = roster_add(roster, &somebody, 17, &listener, STARTED);
        other = roster_add(roster, &somebody, 18, &listener, STARTED);
        roster_resume(roster, one, &before, 4711);
        assert_int_equal(one->started, 500);
        assert_int_equal(find_facts(roster, 17)->started, 500);
        assert_int_equal(one->ledger->bytes, 4711);
        roster_resume(roster, other, &future, 1);
        assert_int_equal(other->started, STARTED);
        assert_int_equal(find_facts(roster, 18)->started, STARTED);
        assert_int_equal(roster_total_bytes(roster), 4712);
        roster_free(roster);
}

static void write_connection(void *data) {
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], data, 1), -1);
}

/* What the master knows of a connection is not there in a forked process. */
static void test_private(void **state) {
        Connection *connection;
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        connection = take(roster, 1);
        process_run(write_connection, connection);
        process_run(write_connection, (void *)find_facts(roster, 17));
        roster_free(roster);
        assert_null(roster_free(NULL));
}

static const Listener proxy_listener = { .fd = -1, .text = "proxy:[::]:7", .kind = LISTENER_PROXY };

static void expect_peer(Roster *roster, const Connection *connection, const char *peer,
                        const char *proxy, LedgerState state) {
        const uint32_t slot = (uint32_t)(connection - roster_at(roster, 0));
        const LedgerFacts *facts = ledger_facts(roster_ledger(roster), slot);
        char text[ADDRESS_TEXT_SIZE];

        assert_string_equal(connection->peer_text, peer);
        assert_string_equal(connection->proxy_text, proxy);
        assert_int_equal(connection->state, state);
        address_format(&facts->peer, text);
        assert_string_equal(text, peer);
        address_format(&facts->proxy, text);
        assert_string_equal(text, proxy[0] != '\0' ? proxy : "unknown");
        assert_int_equal(facts->state, state);
}

/* A connection of a PROXY listener is silent until its peer is announced or refused, or it ends;
 * the ledger has all of that, and the next roster resumes it. */
static void test_silent(void **state) {
        const Address announced = { .family = AF_INET, .port = 51234 };
        Connection *one, *other, *third;
        Roster *roster, *next;

        (void)state;
        assert_int_equal(roster_new(4, &roster), 0);
        assert_int_equal(roster_new(4, &next), 0);
        (void)take(roster, 77);
        assert_int_equal(roster_silent(roster), 0);
        one = roster_add(roster, &somebody, 18, &proxy_listener, 1);
        other = roster_add(roster, &somebody, 19, &proxy_listener, 2);
        third = roster_add(roster, &somebody, 20, &proxy_listener, 3);
        assert_int_equal(roster_silent(roster), 3);
        expect_peer(roster, one, "uid 1000 pid 4242", "", LEDGER_SILENT);

        roster_resume(next, roster_add(next, &somebody, 18, &listener, 1),
                      ledger_facts(roster_ledger(roster), 1), 0);
        assert_int_equal(roster_silent(next), 1);

        roster_announce(roster, one, &announced);
        expect_peer(roster, one, "0.0.0.0:51234", "uid 1000 pid 4242", LEDGER_SERVED);
        roster_announce(roster, other, NULL);
        expect_peer(roster, other, "uid 1000 pid 4242", "", LEDGER_SERVED);
        assert_int_equal(roster_silent(roster), 1);
        roster_refuse(roster, third);
        expect_peer(roster, third, "uid 1000 pid 4242", "", LEDGER_REFUSED);
        assert_int_equal(roster_silent(roster), 0);

        for (uint32_t slot = 1; slot <= 2; slot++) {
                one = roster_add(next, &(Address){}, 18, &proxy_listener, 1);
                roster_resume(next, one, ledger_facts(roster_ledger(roster), slot), 0);
                assert_int_equal(roster_silent(next), 1);
                assert_int_equal(one->state, LEDGER_SERVED);
                assert_string_equal(one->peer_text, slot == 1 ? "0.0.0.0:51234" : "unknown");
        }
        roster_remove(next, roster_next(next, NULL));
        assert_int_equal(roster_silent(next), 0);
        assert_null(roster_free(roster));
        assert_null(roster_free(next));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_room),    cmocka_unit_test(test_facts),
                cmocka_unit_test(test_order),   cmocka_unit_test(test_unassigned),
                cmocka_unit_test(test_bytes),   cmocka_unit_test(test_ledger),
                cmocka_unit_test(test_resume),  cmocka_unit_test(test_silent),
                cmocka_unit_test(test_private), cmocka_unit_test(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
