/* SPDX-License-Identifier: MIT */
/* Which handlers have ended. */

#include "server/reaper.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "process.h"
#include "unit.h"

enum {
        SLOTS = 100, /* more than are all looked at every time */
        NOW = 1000,
};

/* A handler, and what it does. */
typedef struct Handler {
        LedgerExits *exits;
        LedgerEntry *entry;
        bool announces;
        bool stays;
        int code;
} Handler;

static const Listener listener = { .fd = -1, .text = "[::]:7" };

static Roster *roster;
static Reaper reaper;
static uint64_t takes; /* nanoseconds, to look at all */

/* In place of the module's. */
uint64_t clock_now(void) {
        static uint64_t now;

        return now += takes;
}

static unsigned waits; /* for one process */

pid_t waitpid(pid_t pid, int *status, int options) {
        waits += pid > 0;
        return wait4(pid, status, options, NULL);
}

static int set_up(void **state) {
        (void)state;
        takes = 10;
        assert_int_equal(roster_new(SLOTS, &roster), 0);
        return reaper_init(&reaper, roster);
}

static int tear_down(void **state) {
        (void)state;
        for (Connection *connection; (connection = roster_next(roster, NULL)) != NULL;) {
                assert_int_equal(kill(connection->handler, SIGKILL), 0);
                (void)process_wait(connection->handler);
                roster_remove(roster, connection);
        }
        reaper_deinit(&reaper);
        roster_free(roster);
        return 0;
}

static void handle(void *data) {
        const Handler *handler = data;

        if (handler->announces)
                ledger_announce_exit(handler->exits, handler->entry);
        while (handler->stays)
                (void)pause();
        _exit(handler->code);
}

static Connection *start(Handler handler) {
        Connection *connection = roster_add(roster, &(Address){}, 17, &listener, NOW);
        pid_t pid;

        assert_non_null(connection);
        handler.exits = ledger_exits(roster_ledger(roster));
        handler.entry = connection->ledger;
        pid = process_fork(handle, &handler);
        roster_assign(roster, connection, pid);
        if (!handler.stays)
                process_wait_ended(pid);
        return connection;
}

static void start_many(uint32_t n) {
        while (n-- > 0)
                (void)start((Handler){ .stays = true });
}

/* The next one that is found, which exited with @code; removes it. */
static void expect(Connection *connection, int code) {
        int status;

        assert_int_equal(reaper_next(&reaper, &status), connection->handler);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
        roster_remove(roster, connection);
}

static void expect_none(void) {
        int status;

        assert_int_equal(reaper_next(&reaper, &status), 0);
}

/* A handler that has announced its exit is found, with its status, once it has ended. */
static void test_announced(void **state) {
        Connection *leaving = start((Handler){ .announces = true, .stays = true });
        Connection *first = start((Handler){ .announces = true, .code = 1 });
        Connection *second = start((Handler){ .announces = true, .code = 2 });

        (void)state;
        reaper_begin(&reaper, NOW);
        expect(first, 1);
        expect(second, 2);
        expect_none();
        assert_int_equal(roster_live(roster), 1);
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
        assert_int_equal(kill(leaving->handler, SIGKILL), 0);
        process_wait_ended(leaving->handler);
        reaper_begin(&reaper, NOW);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), leaving->handler);
        roster_remove(roster, leaving);
        expect_none();
}

/* Among many, too, a handler that has announced its exit is found at once; another one in a sweep,
 * which is due after a pause. */
static void test_many(void **state) {
        uint64_t due;
        Connection *announced, *silent;

        (void)state;
        start_many(SLOTS - 2);
        reaper_begin(&reaper, NOW);
        expect_none();
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);

        silent = start((Handler){ .code = 3 });
        announced = start((Handler){ .announces = true, .code = 4 });
        reaper_begin(&reaper, NOW + 1);
        expect(announced, 4);
        expect_none();
        due = reaper_deadline(&reaper);
        assert_true(due > NOW + 1 && due <= NOW + CLOCK_SECOND);
        reaper_begin(&reaper, due - 1);
        expect_none();
        reaper_begin(&reaper, due);
        expect(silent, 3);
        expect_none();
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
}

/* Looking at all is due after a hundred times what it took the last time, or after a second. */
static void test_pause(void **state) {
        static const uint64_t pauses[][2] = {
                { 1, 100 }, { 50, 5000 }, { 9999999, 999999900 }, { 20000000, CLOCK_SECOND }
        };
        uint64_t now = NOW;

        (void)state;
        start_many(SLOTS);
        for (size_t i = 0; i < COUNT(pauses); i++) {
                takes = pauses[i][0];
                reaper_begin(&reaper, now);
                expect_none();
                reaper_begin(&reaper, now + 1);
                expect_none();
                assert_int_equal(reaper_deadline(&reaper) - now, pauses[i][1]);
                now = reaper_deadline(&reaper);
        }
}

/* Among few, a handler that has announced nothing is found at once. */
static void test_few(void **state) {
        (void)state;
        start_many(3);
        for (uint64_t now = NOW; now < NOW + 5; now++) {
                Connection *connection = start((Handler){ .code = (int)(now - NOW) });

                reaper_begin(&reaper, now);
                expect(connection, (int)(now - NOW));
                expect_none();
        }
}

static void announce(const Connection *connection) {
        ledger_announce_exit(ledger_exits(roster_ledger(roster)), connection->ledger);
}

/* A compromised handler writes the slot that was announced last, plus 1. */
static void set_last(uint32_t last) {
        memcpy(ledger_exits(roster_ledger(roster)), &last, sizeof last);
}

static uint32_t slot_of(const Connection *connection) {
        uint32_t slot = 0;

        while (roster_at(roster, slot) != connection)
                slot++;
        return slot;
}

/* Whatever handlers announce, of others, twice, or in a circle: who has ended is found, once, and
 * nobody else. */
static void test_lies(void **state) {
        Connection *live[4], *ended;

        (void)state;
        for (size_t i = 0; i < COUNT(live); i++)
                live[i] = start((Handler){ .stays = true });
        ended = start((Handler){ .code = 5 });
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < COUNT(live); i++)
                        announce(live[i]);
                announce(ended);
                announce(ended);
        }
        reaper_begin(&reaper, NOW);
        expect(ended, 5);
        expect_none();
        /* No slot at all; and one that was never taken. */
        set_last(UINT32_MAX);
        reaper_begin(&reaper, NOW);
        expect_none();
        set_last(SLOTS);
        reaper_begin(&reaper, NOW);
        expect_none();
        assert_int_equal(roster_live(roster), COUNT(live));
}

/* A handler that announces its slot again and again, and goes on, costs one entry, and takes none
 * from others. */
static void test_again_and_again(void **state) {
        Connection *liar = start((Handler){ .stays = true }), *others[SLOTS - 1];

        (void)state;
        for (int turn = 0; turn < 3 * SLOTS; turn++) {
                if (turn % 2 == 0)
                        announce(liar);
                /* A circle. */
                liar->ledger->announced_before = slot_of(liar) + 1;
                if (turn % 2 == 1)
                        set_last(slot_of(liar) + 1);
                reaper_begin(&reaper, NOW);
                expect_none();
                assert_int_equal(reaper.n, 1);
        }
        for (size_t i = 0; i < COUNT(others); i++)
                others[i] = start((Handler){ .announces = true, .code = 3 });
        reaper.pause_until = CLOCK_NEVER;
        reaper_begin(&reaper, NOW);
        for (size_t i = 0; i < COUNT(others); i++)
                expect(others[i], 3);
        assert_int_equal(roster_live(roster), 1);
        assert_int_equal(reaper.n, 1);
        assert_int_equal(kill(liar->handler, SIGKILL), 0);
        process_wait_ended(liar->handler);
        reaper_begin(&reaper, NOW);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), liar->handler);
        roster_remove(roster, liar);
        assert_int_equal(reaper.n, 0);
}

/* However many handlers announce that they end, and go on, a turn waits for few of them. A sweep
 * finds one that has ended. */
static void test_in_vain(void **state) {
        Connection *ended = start((Handler){ .announces = true, .code = 3 });

        (void)state;
        start_many(SLOTS - 1);
        for (int turn = 0; turn < 3; turn++) {
                for (Connection *one = NULL; (one = roster_next(roster, one)) != NULL;)
                        if (one != ended)
                                announce(one);
                waits = 0;
                reaper_begin(&reaper, NOW);
                if (turn == 0)
                        expect(ended, 3);
                expect_none();
                assert_true(waits <= 64 + 1);
        }
}

static void leave(void *data) {
        (void)data;
}

static pid_t start_stranger(void) {
        pid_t pid = process_fork(leave, NULL);

        process_wait_ended(pid);
        return pid;
}

/* A child that serves no connection is found as well, at once or after the last handler that has
 * announced. */
static void test_stranger(void **state) {
        pid_t pid = start_stranger();
        Connection *announced;

        (void)state;
        reaper_begin(&reaper, NOW);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), pid);
        expect_none();

        announced = start((Handler){ .announces = true, .code = 5 });
        pid = start_stranger();
        reaper_begin(&reaper, NOW);
        expect(announced, 5);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), pid);
        expect_none();
}

/* Has its parent trace it, and stops. */
static void stop_traced(void *data) {
        (void)data;
        assert_true(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        (void)raise(SIGSTOP);
}

/* A handler that only reports that it stopped has not ended: it is killed. */
static void test_traced(void **state) {
        const pid_t pid = process_fork(stop_traced, NULL);
        siginfo_t stopped = {};
        int status = 0;

        (void)state;
        assert_int_equal(waitid(P_PID, (id_t)pid, &stopped, WEXITED | WSTOPPED | WNOWAIT), 0);
        assert_int_equal(stopped.si_code, CLD_TRAPPED);
        reaper_begin(&reaper, NOW);
        if (reaper_next(&reaper, &status) == 0) {
                process_wait_ended(pid);
                reaper_begin(&reaper, NOW);
                assert_int_equal(reaper_next(&reaper, &status), pid);
        }
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* When there is nobody left, to look at all is not due any more. */
static void test_last(void **state) {
        Connection *connection = NULL;
        pid_t pid;

        (void)state;
        start_many(SLOTS);
        reaper_begin(&reaper, NOW);
        expect_none();
        reaper_begin(&reaper, NOW + 1);
        expect_none();
        assert_true(reaper_deadline(&reaper) != CLOCK_NEVER);

        while ((connection = roster_next(roster, connection)) != NULL) {
                assert_int_equal(kill(connection->handler, SIGKILL), 0);
                process_wait_ended(connection->handler);
                announce(connection);
        }
        reaper_begin(&reaper, NOW + 2);
        while ((pid = reaper_next(&reaper, &(int){ 0 })) > 0)
                roster_remove(roster, roster_find(roster, pid));
        assert_int_equal(roster_live(roster), 0);
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
}

/* A child is killed, also one that has ended and was not reaped; any other process is left alone.
 */
static void test_kill_child(void **state) {
        Connection *connection = start((Handler){ .stays = true });
        const pid_t handler = connection->handler;

        (void)state;
        assert_false(reaper_kill_child(getpid()));
        assert_false(reaper_kill_child(getppid()));
        assert_false(reaper_kill_child(0));
        assert_false(reaper_kill_child(-handler));
        assert_true(reaper_kill_child(handler));
        process_wait_ended(handler);
        assert_true(reaper_kill_child(handler));
        reaper_begin(&reaper, NOW);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), handler);
        roster_remove(roster, connection);
        assert_false(reaper_kill_child(handler));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_announced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_few, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_again_and_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_in_vain, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stranger, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_traced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_kill_child, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
