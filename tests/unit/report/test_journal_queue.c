/* SPDX-License-Identifier: MIT */
/* Writing to a journal that does not take what is written: it waits its turn, and what there is no
 * room for is counted. */

#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <syslog.h>

#include "journald.h"
#include "lib/clock.h"
#include "process.h"
#include "report/journal.h"
#include "unit.h"

/* An instant of this file's own: nothing here waits for time to pass. */
#define START (1000 * CLOCK_SECOND)

enum {
        /* More records than there is room for. */
        MANY = 20000,
};

static Journald journald;
static Journal *journal;

/* In place of the C library's: between the writer and the journal there is room for a few records,
 * however long net.unix.max_dgram_qlen lets its queue be. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
        static int (*real)(int, int, int, const void *, socklen_t);
        const int room = 4096;

        if (real == NULL)
                *(void **)&real = dlsym(RTLD_NEXT, "setsockopt");
        if (level == SOL_SOCKET && (option == SO_SNDBUF || option == SO_SNDBUFFORCE))
                value = &room;
        return real(fd, level, option, value, size);
}

static int set_up(void **state) {
        (void)state;
        journald_start(&journald);
        return journal_new(LOG_TARGET_JOURNAL, LOG_INFO, journald.name.sun_path, &journal);
}

static int tear_down(void **state) {
        (void)state;
        journal = journal_free(journal);
        journald_stop(&journald);
        return 0;
}

/* A record with a number of its own. */
static void write_record(RecordKind kind, uint64_t number, uint64_t now) {
        journal_write(journal,
                      &(Record){ .kind = kind,
                                 .peer = "192.0.2.7:7",
                                 .listener = "[::]:7",
                                 .reason = "idle",
                                 .limit = "descriptors",
                                 .bytes = number,
                                 .refused = 3 },
                      now);
}

/* Fills what room there is while there is no journal. */
static void write_many(void) {
        for (uint64_t i = 0; i < MANY; i++)
                write_record(RECORD_TOTALS, i, START);
}

/* Waits for the next record with the journal's deadlines as the clock. */
static void wait_for_record(void) {
        for (int i = 0; !journald_take(&journald); i++) {
                assert_in_range(i, 0, 1000);
                assert_true(journal_deadline(journal) != CLOCK_NEVER);
                journal_tick(journal, journal_deadline(journal));
        }
}

/* Expects records numbered from 0 on. Returns how many came before one of another kind. */
static uint64_t expect_in_order(void) {
        uint64_t n = 0;

        for (wait_for_record(); journald_is(&journald, RECORD_TOTALS); wait_for_record())
                assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), n++);
        return n;
}

/* Expects @most lost records, in the record that was taken and those that follow it: the first
 * count may just fit behind the last record that did. */
static void expect_lost(uint64_t most) {
        uint64_t lost = 0;

        for (; lost < most; lost += journald_number(&journald, "MPECHO_LOST")) {
                if (lost > 0)
                        wait_for_record();
                assert_true(journald_is(&journald, RECORD_LOST));
        }
        assert_int_equal(lost, most);
}

/* Writing to a journal that does not read does not wait. What there is room for comes later, in
 * order; what there is no room for is counted exactly and told when there is. */
static void test_full(void **state) {
        uint64_t received;

        (void)state;
        write_many();
        write_record(RECORD_CLOSED, 5, START);
        write_record(RECORD_ACCEPTED, 5, START);
        write_record(RECORD_EXHAUSTED, 5, START);
        received = expect_in_order();
        assert_in_range(received, 1000, MANY - 1);
        expect_lost(MANY + 3 - received);
        assert_int_equal(journald_number(&journald, "MPECHO_ACCEPTED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_CLOSED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 3);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 5);
        journald_expect_none(&journald);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

/* However many come and go, those that the journal has room for come out whole and in order, and
 * the counts of the others stand where they are missing. */
static void test_order(void **state) {
        const uint64_t most = 20000;
        uint64_t in = 0, out = 0, lost = 0;

        (void)state;
        srandom(862);
        while (out < most) {
                /* Fills the queue for a while, then empties it. */
                const bool fill = in < most && random() % 100 < (in / 5000 % 2 == 0 ? 95 : 40);

                if (fill)
                        write_record(RECORD_TOTALS, in++, START);
                if (fill || out == in)
                        continue;
                wait_for_record();
                if (journald_is(&journald, RECORD_LOST)) {
                        lost += journald_number(&journald, "MPECHO_LOST");
                        out += journald_number(&journald, "MPECHO_LOST");
                } else {
                        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), out++);
                }
        }
        assert_int_equal(out, in);
        assert_in_range(lost, 1, most / 2);
}

/* As soon as there is room again records are written, after one of how many were lost. */
static void test_room(void **state) {
        uint64_t received = 0;

        (void)state;
        write_many();
        for (; received < 500; received++) {
                wait_for_record();
                assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), received);
        }
        write_record(RECORD_STARTED, 0, START);
        for (wait_for_record(); journald_is(&journald, RECORD_TOTALS); wait_for_record())
                received++;
        expect_lost(MANY - received);
        wait_for_record();
        assert_true(journald_is(&journald, RECORD_STARTED));
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

/* A journal that is started anew misses nothing, neither what is written afterwards nor what was
 * written when there was none; and nothing overtakes what waits. */
static void test_anew(void **state) {
        (void)state;
        write_record(RECORD_TOTALS, 0, START);
        journald_expect(&journald, RECORD_TOTALS);
        journald_close(&journald);
        journald_open(&journald);
        write_record(RECORD_STARTED, 0, START);
        journald_expect(&journald, RECORD_STARTED);

        journald_close(&journald);
        for (uint64_t i = 0; i < 5; i++)
                write_record(RECORD_TOTALS, i, START);
        journald_open(&journald);
        write_record(RECORD_ACCEPTED, 0, START);
        journald_expect_none(&journald);
        assert_int_equal(expect_in_order(), 5);
        assert_true(journald_is(&journald, RECORD_ACCEPTED));
        journald_expect_none(&journald);
        write_record(RECORD_STARTED, 0, START);
        journald_expect(&journald, RECORD_STARTED);
}

/* A journal that is not there is tried again after 2 ms, then less and less often, but each second;
 * and often again once it has been there. */
static void test_retry(void **state) {
        uint64_t now = START, wait = 2000;

        (void)state;
        for (int round = 0; round < 2; round++) {
                journald_close(&journald);
                write_record(RECORD_TOTALS, 0, now);
                assert_int_equal(journal_deadline(journal) - now, 2 * CLOCK_MILLISECOND);
                for (int i = 0; i < 20; i++) {
                        now = journal_deadline(journal);
                        journal_tick(journal, now);
                        assert_in_range(journal_deadline(journal) - now, wait, CLOCK_SECOND);
                        wait = journal_deadline(journal) - now;
                }
                assert_int_equal(wait, CLOCK_SECOND);
                journald_open(&journald);
                journal_tick(journal, journal_deadline(journal) - 1);
                journald_expect_none(&journald);
                journal_tick(journal, journal_deadline(journal));
                journald_expect(&journald, RECORD_TOTALS);
                assert_true(journal_deadline(journal) == CLOCK_NEVER);
                wait = 2000;
        }
}

/* Uses up the burst, and has three more counted. None waits for a record of another kind. */
static void count_three(void) {
        for (int i = 0; i < 1003; i++) {
                write_record(RECORD_CLOSED, 1, START);
                write_record(RECORD_STARTED, 1, START);
                while (journald_take(&journald))
                        continue;
        }
}

/* A summary that there is no room for is told later, and has all that came in between. */
static void test_late_summary(void **state) {
        (void)state;
        count_three();
        journald_close(&journald);
        write_many();
        journal_tick(journal, START + CLOCK_SECOND);
        journald_open(&journald);
        write_record(RECORD_CLOSED, 1, START);
        write_record(RECORD_CLOSED, 1, START);
        do
                wait_for_record();
        while (!journald_is(&journald, RECORD_SUMMARY));
        assert_int_equal(journald_number(&journald, "MPECHO_CLOSED"), 5);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 5);
        journald_expect_none(&journald);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

/* At the end all that waits is written, whether it is due or not. */
static void test_finish(void **state) {
        (void)state;
        count_three();
        journald_close(&journald);
        write_record(RECORD_TOTALS, 0, START);
        journald_open(&journald);
        journal_finish(journal, 0);
        journald_expect(&journald, RECORD_TOTALS);
        journald_expect(&journald, RECORD_SUMMARY);
        assert_int_equal(journald_number(&journald, "MPECHO_CLOSED"), 3);
        journald_expect_none(&journald);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

/* Expects all that write_many() and count_three() have left, until nothing more has come for long.
 */
static void read_all(void *data) {
        struct pollfd ready = { .fd = journald.fd, .events = POLLIN };
        uint64_t received = 0, lost = 0, closed = 0;

        (void)data;
        while (received + lost < MANY || closed == 0) {
                assert_int_equal(poll(&ready, 1, PATIENCE_SECONDS * 1000), 1);
                assert_true(journald_take(&journald));
                if (journald_is(&journald, RECORD_TOTALS))
                        received++;
                else if (journald_is(&journald, RECORD_LOST))
                        lost += journald_number(&journald, "MPECHO_LOST");
                else
                        closed += journald_number(&journald, "MPECHO_CLOSED");
        }
        assert_int_equal(received + lost, MANY);
        assert_int_equal(closed, 3);
}

/* At the end all that waits is written, as fast as the journal reads, when there is no more room as
 * well. */
static void test_finish_full(void **state) {
        pid_t reader;

        (void)state;
        count_three();
        journald_close(&journald);
        write_many();
        journald_open(&journald);
        reader = process_fork(read_all, NULL);
        journal_finish(journal, PATIENCE_SECONDS * CLOCK_SECOND);
        process_wait_exit(reader, 0);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

/* At the end a journal that takes nothing is waited for no longer than is said. */
static void test_finish_in_vain(void **state) {
        (void)state;
        journald_close(&journald);
        write_record(RECORD_TOTALS, 0, START);
        journal_finish(journal, CLOCK_MILLISECOND);
        assert_true(journal_deadline(journal) != CLOCK_NEVER);
}

/* What the journal did not accept until the end is counted once, and reported by the next run. */
static void test_abandon(void **state) {
        Tally lost;

        (void)state;
        journald_close(&journald);
        write_record(RECORD_TOTALS, 5, START);
        write_record(RECORD_ACCEPTED, 5, START);
        write_record(RECORD_CLOSED, 5, START);
        write_record(RECORD_EXHAUSTED, 5, START);
        journal_finish(journal, 0);
        journal_abandon(journal, &lost);
        assert_int_equal(journal_take_lost(journal), 4);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);

        journald_open(&journald);
        journal_finish(journal, 0);
        journald_expect_none(&journald);
        journal_adopt_lost(journal, &lost);
        write_record(RECORD_STARTED, 0, START);
        journald_expect(&journald, RECORD_LOST);
        assert_int_equal(journald_number(&journald, "MPECHO_LOST"), 4);
        assert_int_equal(journald_number(&journald, "MPECHO_ACCEPTED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_CLOSED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 3);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 5);
        journald_expect(&journald, RECORD_STARTED);
        assert_int_equal(journal_take_lost(journal), 0);
}

/* Records that were lost before the end, those that waited and the summary that was due are
 * counted together, and none twice. */
static void test_abandon_all(void **state) {
        uint64_t received = 0;
        Tally lost;

        (void)state;
        count_three();
        journald_close(&journald);
        write_many();
        journald_open(&journald);
        for (; received < 500; received++)
                wait_for_record();
        /* A count of lost records waits with it. */
        write_record(RECORD_STARTED, 0, START);
        while (journald_take(&journald))
                received++;
        journald_close(&journald);
        journal_abandon(journal, &lost);
        assert_int_equal(lost.records, MANY + 1 + 1 - received);
        assert_int_equal(lost.closed, 3);
        assert_int_equal(journal_take_lost(journal), lost.records);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_full),    TEST(test_order),       TEST(test_room),
                TEST(test_anew),    TEST(test_retry),       TEST(test_late_summary),
                TEST(test_finish),  TEST(test_finish_full), TEST(test_finish_in_vain),
                TEST(test_abandon), TEST(test_abandon_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
