/* SPDX-License-Identifier: MIT */
/* Which handlers have ended. */

#include "server/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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
        RosterExits *exits;
        RosterSlot *slot;
        bool tells;
        bool stays;
        int code;
} Handler;

static const Listener listener = { .fd = -1, .text = "[::]:7" };

static Roster *roster;
static Reaper reaper;
static uint64_t takes; /* microseconds, to look at all */

/* In place of the module's. */
uint64_t clock_now(void) {
        static uint64_t now;

        return now += takes;
}

uint64_t clock_earlier(uint64_t one, uint64_t other) {
        return one < other ? one : other;
}

static int set_up(void **state) {
        (void)state;
        takes = 10;
        assert_int_equal(roster_new(SLOTS, &roster), 0);
        return reaper_init(&reaper, roster, SLOTS);
}

static int tear_down(void **state) {
        (void)state;
        for (uint32_t slot; (slot = roster_next(roster, ROSTER_NONE)) != ROSTER_NONE;) {
                const pid_t pid = roster_entry(roster, slot)->handler;

                assert_int_equal(kill(pid, SIGKILL), 0);
                (void)process_wait(pid);
                roster_release(roster, slot);
        }
        reaper_deinit(&reaper);
        roster_free(roster);
        return 0;
}

static void handle(void *data) {
        const Handler *handler = data;

        if (handler->tells)
                roster_tell_exit(handler->exits, handler->slot);
        while (handler->stays)
                (void)pause();
        _exit(handler->code);
}

static uint32_t start(Handler handler) {
        uint32_t slot = roster_claim(roster, &(Address){}, 17, &listener, NOW);
        pid_t pid;

        assert_int_not_equal(slot, ROSTER_NONE);
        handler.exits = roster_exits(roster);
        handler.slot = roster_slot(roster, slot);
        pid = process_fork(handle, &handler);
        roster_assign(roster, slot, pid);
        if (!handler.stays)
                process_wait_ended(pid);
        return slot;
}

static void start_many(uint32_t n) {
        while (n-- > 0)
                (void)start((Handler){ .stays = true });
}

/* The next one that is found, which exited with @code; gives its slot back. */
static void expect(uint32_t slot, int code) {
        int status;

        assert_int_equal(reaper_next(&reaper, &status), slot);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
        roster_release(roster, slot);
}

static void expect_none(void) {
        int status;

        assert_int_equal(reaper_next(&reaper, &status), ROSTER_NONE);
}

/* Who has told and ended is found, with its status; who has told and goes on when it ends. */
static void test_told(void **state) {
        uint32_t leaving = start((Handler){ .tells = true, .stays = true });
        uint32_t first = start((Handler){ .tells = true, .code = 1 });
        uint32_t second = start((Handler){ .tells = true, .code = 2 });

        (void)state;
        reaper_begin(&reaper, NOW);
        expect(first, 1);
        expect(second, 2);
        expect_none();
        assert_int_equal(roster_live(roster), 1);
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
        assert_int_equal(kill(roster_entry(roster, leaving)->handler, SIGKILL), 0);
        process_wait_ended(roster_entry(roster, leaving)->handler);
        reaper_begin(&reaper, NOW);
        assert_int_equal(reaper_next(&reaper, &(int){ 0 }), leaving);
        roster_release(roster, leaving);
        expect_none();
}

/* Among many, too, who has told is found at once; who has not, when all are looked at, which is
 * due after a rest. */
static void test_many(void **state) {
        uint64_t due;
        uint32_t told, untold;

        (void)state;
        start_many(SLOTS - 2);
        reaper_begin(&reaper, NOW);
        expect_none();
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);

        untold = start((Handler){ .code = 3 });
        told = start((Handler){ .tells = true, .code = 4 });
        reaper_begin(&reaper, NOW + 1);
        expect(told, 4);
        expect_none();
        due = reaper_deadline(&reaper);
        assert_true(due > NOW + 1 && due <= NOW + CLOCK_SECOND);
        reaper_begin(&reaper, due - 1);
        expect_none();
        reaper_begin(&reaper, due);
        expect(untold, 3);
        expect_none();
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
}

/* Looking at all is due after a hundred times what it took the last time, or after a second. */
static void test_rest(void **state) {
        static const uint64_t rests[][2] = {
                { 1, 100 }, { 50, 5000 }, { 9999, 999900 }, { 20000, CLOCK_SECOND }
        };
        uint64_t now = NOW;

        (void)state;
        start_many(SLOTS);
        for (size_t i = 0; i < COUNT(rests); i++) {
                takes = rests[i][0];
                reaper_begin(&reaper, now);
                expect_none();
                reaper_begin(&reaper, now + 1);
                expect_none();
                assert_int_equal(reaper_deadline(&reaper) - now, rests[i][1]);
                now = reaper_deadline(&reaper);
        }
}

/* Among few, who has not told is found at once. */
static void test_few(void **state) {
        (void)state;
        start_many(3);
        for (uint64_t now = NOW; now < NOW + 5; now++) {
                uint32_t slot = start((Handler){ .code = (int)(now - NOW) });

                reaper_begin(&reaper, now);
                expect(slot, (int)(now - NOW));
                expect_none();
        }
}

/* Whatever handlers tell, of others, twice, or in a circle: who has ended is found, once, and
 * nobody else. */
static void test_lies(void **state) {
        uint32_t slots[4], ended;

        (void)state;
        for (size_t i = 0; i < COUNT(slots); i++)
                slots[i] = start((Handler){ .stays = true });
        ended = start((Handler){ .code = 5 });
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < COUNT(slots); i++)
                        roster_tell_exit(roster_exits(roster), roster_slot(roster, slots[i]));
                roster_tell_exit(roster_exits(roster), roster_slot(roster, ended));
                roster_tell_exit(roster_exits(roster), roster_slot(roster, ended));
        }
        reaper_begin(&reaper, NOW);
        expect(ended, 5);
        expect_none();
        /* No slot at all; and one that was never taken. */
        roster_exits(roster)->last = UINT32_MAX;
        reaper_begin(&reaper, NOW);
        expect_none();
        roster_exits(roster)->last = SLOTS;
        reaper_begin(&reaper, NOW);
        expect_none();
        for (int turn = 0; turn < SLOTS; turn++) {
                roster_exits(roster)->last = slots[0] + 1;
                roster_slot(roster, slots[0])->told_before = slots[0] + 1;
                reaper_begin(&reaper, NOW);
                expect_none();
        }
        assert_int_equal(roster_live(roster), COUNT(slots));
}

static void leave(void *data) {
        (void)data;
}

static pid_t start_stranger(void) {
        pid_t pid = process_fork(leave, NULL);

        process_wait_ended(pid);
        return pid;
}

static void expect_reaped(pid_t pid) {
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* A child that is no handler is reaped, at once or after the last handler that has told. */
static void test_stranger(void **state) {
        pid_t pid = start_stranger();
        uint32_t told;

        (void)state;
        reaper_begin(&reaper, NOW);
        expect_none();
        expect_reaped(pid);

        told = start((Handler){ .tells = true, .code = 5 });
        pid = start_stranger();
        reaper_begin(&reaper, NOW);
        expect(told, 5);
        expect_none();
        reaper_begin(&reaper, NOW);
        expect_none();
        expect_reaped(pid);
}

/* When there is nobody left, to look at all is not due any more. */
static void test_last(void **state) {
        uint32_t slot;

        (void)state;
        start_many(SLOTS);
        reaper_begin(&reaper, NOW);
        expect_none();
        reaper_begin(&reaper, NOW + 1);
        expect_none();
        assert_true(reaper_deadline(&reaper) != CLOCK_NEVER);

        for (slot = roster_next(roster, ROSTER_NONE); slot != ROSTER_NONE;
             slot = roster_next(roster, slot)) {
                const pid_t pid = roster_entry(roster, slot)->handler;

                assert_int_equal(kill(pid, SIGKILL), 0);
                process_wait_ended(pid);
                roster_tell_exit(roster_exits(roster), roster_slot(roster, slot));
        }
        reaper_begin(&reaper, NOW + 2);
        while ((slot = reaper_next(&reaper, &(int){ 0 })) != ROSTER_NONE)
                roster_release(roster, slot);
        assert_int_equal(roster_live(roster), 0);
        assert_true(reaper_deadline(&reaper) == CLOCK_NEVER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_told, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_rest, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_few, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stranger, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
