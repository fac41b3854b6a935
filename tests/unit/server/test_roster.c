/* SPDX-License-Identifier: MIT */
/* The live handlers and the counts of all there were. */

#include "server/roster.h"

#include <stdbool.h>
#include <unistd.h>

#include "process.h"
#include "unit.h"

static const Address somebody = { .family = AF_UNIX, .local = { .uid = 1000, .pid = 4242 } };

static const Listener listener = { .fd = -1, .text = "[::]:7" };

static uint32_t take(Roster *roster, pid_t handler) {
        uint32_t slot = roster_claim(roster, &somebody, 17, &listener, 1000 + (uint64_t)handler);

        assert_int_not_equal(slot, ROSTER_NONE);
        roster_assign(roster, slot, handler);
        return slot;
}

/* All slots can be taken, each once, and taken again when they were given back. */
static void test_slots(void **state) {
        bool taken[5] = {};
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(5, &roster), 0);
        for (int round = 0; round < 3; round++) {
                for (pid_t pid = 1; pid <= 5; pid++) {
                        uint32_t slot = take(roster, pid);

                        assert_in_range(slot, 0, 4);
                        assert_false(taken[slot]);
                        taken[slot] = true;
                }
                assert_int_equal(roster_live(roster), 5);
                assert_int_equal(roster_claim(roster, &somebody, 17, &listener, 0), ROSTER_NONE);
                assert_int_equal(roster_live(roster), 5);
                for (pid_t pid = 5; pid >= 1; pid--) {
                        uint32_t slot = roster_find(roster, pid);

                        assert_true(taken[slot]);
                        taken[slot] = false;
                        roster_release(roster, slot);
                }
                assert_int_equal(roster_live(roster), 0);
        }
        assert_null(roster_free(roster));
}

/* What is known of a connection is what was said of it, and its handler is found by its pid. */
static void test_entries(void **state) {
        const RosterEntry *entry;
        Roster *roster;
        uint32_t slot;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        assert_int_equal(roster_find(roster, 77), ROSTER_NONE);
        slot = roster_claim(roster, &somebody, 17, &listener, 12345);
        entry = roster_entry(roster, slot);
        assert_int_equal(entry->peer.local.pid, 4242);
        assert_ptr_equal(entry->listener, &listener);
        assert_int_equal(entry->started_usec, 12345);
        assert_int_equal(entry->handler, 0);
        assert_int_equal(roster_find(roster, 0), ROSTER_NONE);
        roster_assign(roster, slot, 77);
        assert_int_equal(roster_entry(roster, slot)->handler, 77);
        assert_int_equal(roster_find(roster, 77), slot);
        assert_int_equal(roster_find(roster, 78), ROSTER_NONE);
        roster_release(roster, slot);
        assert_int_equal(roster_find(roster, 77), ROSTER_NONE);
        roster_free(roster);
}

static void expect_order(const Roster *roster, const pid_t *pids, size_t n) {
        uint32_t slot = ROSTER_NONE;

        for (size_t i = 0; i < n; i++) {
                slot = roster_next(roster, slot);
                assert_int_not_equal(slot, ROSTER_NONE);
                assert_int_equal(roster_entry(roster, slot)->handler, pids[i]);
        }
        assert_int_equal(roster_next(roster, slot), ROSTER_NONE);
}

/* The slots taken come in the order in which they were taken, whichever was given back: the first,
 * the last, one between, all. */
static void test_order(void **state) {
        Roster *roster;

        (void)state;
        assert_int_equal(roster_new(4, &roster), 0);
        expect_order(roster, NULL, 0);
        for (pid_t pid = 1; pid <= 4; pid++)
                (void)take(roster, pid);
        expect_order(roster, (pid_t[]){ 1, 2, 3, 4 }, 4);
        roster_release(roster, roster_find(roster, 2));
        expect_order(roster, (pid_t[]){ 1, 3, 4 }, 3);
        (void)take(roster, 5);
        expect_order(roster, (pid_t[]){ 1, 3, 4, 5 }, 4);
        roster_release(roster, roster_find(roster, 1));
        expect_order(roster, (pid_t[]){ 3, 4, 5 }, 3);
        roster_release(roster, roster_find(roster, 5));
        expect_order(roster, (pid_t[]){ 3, 4 }, 2);
        (void)take(roster, 6);
        roster_release(roster, roster_find(roster, 3));
        roster_release(roster, roster_find(roster, 4));
        expect_order(roster, (pid_t[]){ 6 }, 1);
        roster_release(roster, roster_find(roster, 6));
        expect_order(roster, NULL, 0);
        (void)take(roster, 7);
        expect_order(roster, (pid_t[]){ 7 }, 1);
        roster_free(roster);
}

/* A slot that never got a handler has no part in the peak, but what an earlier one echoed stays
 * counted. */
static void test_unassigned(void **state) {
        const RosterSlot before = { .bytes = 99 };
        Roster *roster;
        uint32_t slot;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        slot = roster_claim(roster, &somebody, 17, &listener, 0);
        assert_int_equal(roster_live(roster), 1);
        roster_release(roster, slot);
        assert_int_equal(roster_total_bytes(roster), 0);
        slot = roster_claim(roster, &somebody, 18, &listener, 0);
        roster_resume(roster, slot, &before);
        assert_int_equal(roster_total_bytes(roster), 99);
        roster_release(roster, slot);
        assert_int_equal(roster_live(roster), 0);
        assert_int_equal(roster_counts(roster)->peak, 0);
        assert_int_equal(roster_total_bytes(roster), 99);
        (void)take(roster, 1);
        (void)take(roster, 2);
        roster_release(roster, roster_find(roster, 1));
        assert_int_equal(roster_counts(roster)->peak, 2);
        roster_free(roster);
}

static void count_to_7000(void *data) {
        _Atomic uint64_t *bytes = data;

        for (int i = 0; i < 7000; i++)
                (*bytes)++;
}

/* Bytes that a handler counted outlive it; a slot begins at none; the total has those of ended
 * connections and of live ones. */
static void test_bytes(void **state) {
        Roster *roster;
        uint32_t one, other;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        one = take(roster, 1);
        other = take(roster, 2);
        process_run(count_to_7000, (void *)&roster_slot(roster, one)->bytes);
        assert_int_equal(roster_slot(roster, one)->bytes, 7000);
        assert_int_equal(roster_slot(roster, other)->bytes, 0);
        roster_slot(roster, other)->bytes = 5;
        assert_int_equal(roster_total_bytes(roster), 7005);
        roster_release(roster, one);
        assert_int_equal(roster_total_bytes(roster), 7005);
        assert_int_equal(roster_slot(roster, take(roster, 3))->bytes, 0);
        assert_int_equal(roster_total_bytes(roster), 7005);
        roster_free(roster);
}

static void write_entry(void *data) {
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], data, 1), -1);
}

/* What the master knows of a connection is not there in a forked process. */
static void test_private(void **state) {
        Roster *roster;
        uint32_t slot;

        (void)state;
        assert_int_equal(roster_new(2, &roster), 0);
        slot = take(roster, 1);
        process_run(write_entry, (void *)roster_entry(roster, slot));
        roster_free(roster);
        assert_null(roster_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_slots), cmocka_unit_test(test_entries),
                cmocka_unit_test(test_order), cmocka_unit_test(test_unassigned),
                cmocka_unit_test(test_bytes), cmocka_unit_test(test_private),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
