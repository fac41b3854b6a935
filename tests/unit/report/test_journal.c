/* SPDX-License-Identifier: MIT */
/* Writing to the journal: nothing waits, nothing is lost in silence, and all counts add up. */

#include "report/journal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "journald.h"
#include "lib/clock.h"
#include "unit.h"

/* An instant of this file's own: nothing here waits for time to pass. */
#define START (1000 * CLOCK_SECOND)

static Journald journald;

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

static Journal *open_journal(LogTarget target, int level) {
        Journal *journal;

        assert_int_equal(journal_new(target, level, journald.name.sun_path, &journal), 0);
        return journal;
}

/* A record of @kind that tells itself from others by @bytes. */
static void write_record(Journal *journal, RecordKind kind, uint64_t bytes, uint64_t now) {
        journal_write(journal,
                      &(Record){ .kind = kind,
                                 .peer = "192.0.2.7:7",
                                 .listener = "[::]:7",
                                 .reason = "idle",
                                 .limit = "descriptors",
                                 .sentence = "Failed",
                                 .bytes = bytes,
                                 .refused = 3 },
                      now);
}

/* What records say, one by one or in sum. */
typedef struct Sums {
        uint64_t accepted, closed, crashed, refused, bytes, totals, lost;
} Sums;

/* Adds up the record that came last; what was lost is in those of a RECORD_LOST. */
static void add_record(Sums *sums) {
        if (journald_is(&journald, RECORD_SUMMARY) || journald_is(&journald, RECORD_LOST)) {
                sums->accepted += journald_number(&journald, "MPECHO_ACCEPTED");
                sums->closed += journald_number(&journald, "MPECHO_CLOSED");
                sums->crashed += journald_number(&journald, "MPECHO_CRASHED");
                sums->refused += journald_number(&journald, "MPECHO_REFUSED");
                sums->bytes += journald_number(&journald, "MPECHO_BYTES");
                if (journald_is(&journald, RECORD_LOST))
                        sums->lost += journald_number(&journald, "MPECHO_LOST");
                return;
        }
        sums->accepted += journald_is(&journald, RECORD_ACCEPTED);
        sums->closed += journald_is(&journald, RECORD_CLOSED);
        sums->crashed += journald_is(&journald, RECORD_CRASHED);
        sums->refused += journald_is(&journald, RECORD_REFUSED);
        sums->totals += journald_is(&journald, RECORD_TOTALS);
        if (journald_is(&journald, RECORD_EXHAUSTED))
                sums->refused += journald_number(&journald, "MPECHO_REFUSED");
        if (journald_is(&journald, RECORD_CLOSED) || journald_is(&journald, RECORD_CRASHED))
                sums->bytes += journald_number(&journald, "MPECHO_BYTES");
}

/* Receives and adds up all that is there. Returns how many records. */
static unsigned drain(Sums *sums) {
        unsigned n = 0;

        for (; journald_take(&journald); n++)
                add_record(sums);
        return n;
}

/* A record arrives as it was formatted, at once. */
static void test_write(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);

        (void)state;
        write_record(journal, RECORD_CLOSED, 42, START);
        journald_expect(&journald, RECORD_CLOSED);
        assert_string_equal(journald_text(&journald, "MPECHO_PEER"), "192.0.2.7:7");
        assert_string_equal(journald_text(&journald, "MPECHO_REASON"), "idle");
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 42);
        assert_int_equal(journald_number(&journald, "PRIORITY"), LOG_INFO);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
        assert_null(journal_free(journal));
        assert_null(journal_free(NULL));
}

/* A record less important than the level is not written, not counted and not called lost. */
static void test_level(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_NOTICE);

        (void)state;
        for (int i = 0; i < 2000; i++)
                write_record(journal, RECORD_CLOSED, 1, START);
        write_record(journal, RECORD_STARTED, 1, START);
        journald_expect_none(&journald);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
        write_record(journal, RECORD_REFUSED, 1, START);
        journald_expect(&journald, RECORD_REFUSED);
        write_record(journal, RECORD_FAILED, 1, START);
        journald_expect(&journald, RECORD_FAILED);
        journald_expect_none(&journald);
        journal_free(journal);
}

/* A record of a connection that comes alone is written at once. Others that follow are written
 * together, 10 ms after it or before a record of another kind, and in order. */
static void test_batch(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);

        (void)state;
        write_record(journal, RECORD_ACCEPTED, 0, START);
        journald_expect(&journald, RECORD_ACCEPTED);
        write_record(journal, RECORD_CLOSED, 0, START + 1);
        write_record(journal, RECORD_ACCEPTED, 0, START + 10 * CLOCK_MILLISECOND - 1);
        assert_true(journal_deadline(journal) == START + 10 * CLOCK_MILLISECOND);
        journal_tick(journal, START + 10 * CLOCK_MILLISECOND - 1);
        journald_expect_none(&journald);
        journal_tick(journal, START + 10 * CLOCK_MILLISECOND);
        journald_expect(&journald, RECORD_CLOSED);
        journald_expect(&journald, RECORD_ACCEPTED);

        write_record(journal, RECORD_CRASHED, 0, START + 10 * CLOCK_MILLISECOND + 1);
        journald_expect_none(&journald);
        write_record(journal, RECORD_TOTALS, 0, START + 10 * CLOCK_MILLISECOND + 2);
        journald_expect(&journald, RECORD_CRASHED);
        journald_expect(&journald, RECORD_TOTALS);
        write_record(journal, RECORD_REFUSED, 0, START + 20 * CLOCK_MILLISECOND + 2);
        journald_expect(&journald, RECORD_REFUSED);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
        journal_free(journal);
}

/* Writes @n records at @now, and one of another kind after each, for which none waits. Returns how
 * many came one by one. */
static unsigned burst(Journal *journal, RecordKind kind, unsigned n, uint64_t now) {
        unsigned came = 0;
        Sums sums = {};

        for (unsigned i = 0; i < n; i++) {
                write_record(journal, kind, 7, now);
                write_record(journal, RECORD_STARTED, 0, now);
                came += drain(&sums) - 1;
        }
        assert_int_equal(sums.lost, 0);
        return came;
}

/* Of a burst 1000 records of connections are written, then 200 a second; a quiet time saves up no
 * more than a burst. Other kinds are always written. */
static void test_rate(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);
        const uint64_t second = CLOCK_SECOND;

        (void)state;
        assert_int_equal(burst(journal, RECORD_ACCEPTED, 400, START), 400);
        assert_int_equal(burst(journal, RECORD_CLOSED, 500, START), 500);
        assert_int_equal(burst(journal, RECORD_CRASHED, 90, START), 90);
        assert_int_equal(burst(journal, RECORD_REFUSED, 50, START), 10);
        assert_int_equal(burst(journal, RECORD_TOTALS, 50, START), 50);
        assert_int_equal(burst(journal, RECORD_EXHAUSTED, 5, START), 5);
        assert_int_equal(burst(journal, RECORD_CLOSED, 5, START + 5 * CLOCK_MILLISECOND - 1), 0);
        assert_int_equal(burst(journal, RECORD_CLOSED, 5, START + 5 * CLOCK_MILLISECOND), 1);
        assert_int_equal(burst(journal, RECORD_CLOSED, 300, START + 5 * CLOCK_MILLISECOND + second),
                         200);
        assert_int_equal(burst(journal, RECORD_CLOSED, 2000, START + 100 * second), 1000);
        assert_int_equal(burst(journal, RECORD_CLOSED, 300, START + 101 * second), 200);
        journal_free(journal);
}

/* Expects the next record but those of accepted connections, which may have to be sent first. */
static void expect_next(Journal *journal, RecordKind kind) {
        for (int i = 0; i < 10000; i++) {
                if (!journald_take(&journald))
                        journal_finish(journal, 0);
                else if (!journald_is(&journald, RECORD_ACCEPTED))
                        break;
        }
        assert_true(journald_is(&journald, kind));
}

static void expect_refusals(Journal *journal, const char *source, uint64_t n) {
        const char *found;

        expect_next(journal, RECORD_REFUSALS);
        found = journald_text(&journald, "MPECHO_PEER_ADDRESS");
        if (source != NULL)
                assert_string_equal(found, source);
        else
                assert_null(found);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), n);
}

/* Connections that echo nothing, and accepted ones, can be of another priority, which decides
 * whether they are written; all others keep theirs. */
static void test_empty(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_DEBUG);

        (void)state;
        for (int level = LOG_WARNING; level <= LOG_DEBUG; level++) {
                const int expected = level > LOG_INFO ? level : LOG_INFO;

                journal_set_empty_level(journal, level);
                write_record(journal, RECORD_ACCEPTED, 0, START);
                write_record(journal, RECORD_CLOSED, 0, START);
                write_record(journal, RECORD_CLOSED, 1, START);
                write_record(journal, RECORD_CRASHED, 0, START);
                journal_finish(journal, 0);
                journald_expect(&journald, RECORD_ACCEPTED);
                assert_int_equal(journald_number(&journald, "PRIORITY"), expected);
                journald_expect(&journald, RECORD_CLOSED);
                assert_int_equal(journald_number(&journald, "PRIORITY"), expected);
                journald_expect(&journald, RECORD_CLOSED);
                assert_int_equal(journald_number(&journald, "PRIORITY"), LOG_INFO);
                journald_expect(&journald, RECORD_CRASHED);
                assert_int_equal(journald_number(&journald, "PRIORITY"), LOG_WARNING);
        }
        journal_free(journal);

        journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);
        journal_set_empty_level(journal, LOG_DEBUG);
        write_record(journal, RECORD_ACCEPTED, 0, START);
        write_record(journal, RECORD_CLOSED, 0, START);
        write_record(journal, RECORD_CLOSED, 1, START);
        journal_finish(journal, 0);
        journald_expect(&journald, RECORD_CLOSED);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 1);
        journald_expect_none(&journald);
        journal_free(journal);
}

/* What was counted is told a second after the first of it, once, by kind, with its bytes and the
 * time that it took. */
static void test_summary(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);

        (void)state;
        assert_int_equal(burst(journal, RECORD_ACCEPTED, 1000, START), 1000);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
        assert_int_equal(burst(journal, RECORD_ACCEPTED, 4, START + 1), 0);
        assert_int_equal(burst(journal, RECORD_CLOSED, 3, START + 2), 0);
        assert_int_equal(burst(journal, RECORD_CRASHED, 2, START + 3), 0);
        assert_int_equal(burst(journal, RECORD_REFUSED, 1, START + 4), 0);
        assert_true(journal_deadline(journal) == START + 1 + CLOCK_SECOND);
        journal_tick(journal, START + CLOCK_SECOND);
        journald_expect_none(&journald);
        journal_tick(journal, START + 1 + CLOCK_SECOND);
        journald_expect(&journald, RECORD_SUMMARY);
        assert_int_equal(journald_number(&journald, "MPECHO_ACCEPTED"), 4);
        assert_int_equal(journald_number(&journald, "MPECHO_CLOSED"), 3);
        assert_int_equal(journald_number(&journald, "MPECHO_CRASHED"), 2);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 1);
        assert_int_equal(journald_number(&journald, "MPECHO_BYTES"), 5 * 7);
        assert_int_equal(journald_number(&journald, "MPECHO_DURATION_USEC"), 1000000);
        expect_refusals(journal, "192.0.2.7", 1);
        assert_true(journal_deadline(journal) == CLOCK_NEVER);
        journal_tick(journal, START + 3 * CLOCK_SECOND);
        journald_expect_none(&journald);
        journal_free(journal);
}

/* Writes a record of any kind that is counted, and adds up what it should be told as. */
static void write_any(Journal *journal, Sums *written, uint64_t now) {
        uint64_t bytes = (uint64_t)random() % 1000;

        switch (random() % 6) {
        case 0:
                write_record(journal, RECORD_ACCEPTED, bytes, now);
                written->accepted++;
                break;
        case 1:
                write_record(journal, RECORD_CLOSED, bytes, now);
                written->closed++;
                written->bytes += bytes;
                break;
        case 2:
                write_record(journal, RECORD_CRASHED, bytes, now);
                written->crashed++;
                written->bytes += bytes;
                break;
        case 3:
                write_record(journal, RECORD_REFUSED, bytes, now);
                written->refused++;
                break;
        case 4:
                write_record(journal, RECORD_EXHAUSTED, bytes, now);
                written->refused += 3;
                break;
        default:
                write_record(journal, RECORD_TOTALS, bytes, now);
                written->totals++;
        }
}

/* Whatever is written how fast to a journal that reads as it likes: records one by one, summaries
 * and lost ones together are what was written. */
static void test_sums(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);
        Sums written = {}, told = {};
        uint64_t now = START;

        (void)state;
        srandom(862);
        for (int i = 0; i < 30000; i++) {
                write_any(journal, &written, now);
                now += (uint64_t)random() % (i / 10000 * 5000 + 1) * 1000;
                journal_tick(journal, now);
                if (random() % (i % 5000 < 2500 ? 8 : 3000) == 0)
                        (void)drain(&told);
        }
        for (int i = 0; journal_deadline(journal) != CLOCK_NEVER; i++) {
                assert_in_range(i, 0, 100000);
                (void)drain(&told);
                journal_tick(journal, journal_deadline(journal));
        }
        (void)drain(&told);
        assert_int_equal(told.accepted, written.accepted);
        assert_int_equal(told.closed, written.closed);
        assert_int_equal(told.crashed, written.crashed);
        assert_int_equal(told.refused, written.refused);
        assert_int_equal(told.bytes, written.bytes);
        assert_in_range(told.totals, 1, written.totals);
        assert_in_range(told.lost, written.totals - told.totals + 1, UINT32_MAX);
        journal_free(journal);
}

static void refuse(Journal *journal, const char *peer, uint64_t n) {
        for (uint64_t i = 0; i < n; i++)
                journal_write(journal,
                              &(Record){ .kind = RECORD_REFUSED,
                                         .peer = peer,
                                         .listener = "[::]:7",
                                         .limit = "max-per-source" },
                              START);
}

/* Refused connections that get no record of their own are summed by source, an IPv6 network being
 * one: the ten busiest, the busiest first, and the rest. The next second begins with none. */
static void test_refusals(void **state) {
        Journal *journal = open_journal(LOG_TARGET_JOURNAL, LOG_INFO);
        char peer[32], source[32];

        (void)state;
        for (int i = 0; i < 1000; i++)
                write_record(journal, RECORD_ACCEPTED, 0, START);
        refuse(journal, "[2001:db8::1]:7", 100);
        refuse(journal, "[2001:db8::2]:8", 100);
        for (uint64_t i = 1; i <= 200; i++) {
                snprintf(peer, sizeof peer, "10.0.0.%u:7", (unsigned)i);
                refuse(journal, peer, i == 20 ? 50 : 1);
        }
        journal_tick(journal, START + CLOCK_SECOND);
        expect_next(journal, RECORD_SUMMARY);
        assert_int_equal(journald_number(&journald, "MPECHO_REFUSED"), 200 + 199 + 50);
        expect_refusals(journal, "2001:db8::/64", 200);
        expect_refusals(journal, "10.0.0.20", 50);
        for (unsigned i = 0; i < 8; i++) {
                /* Of equal ones those that are first by name. */
                static const unsigned names[] = { 1, 10, 100, 101, 102, 103, 104, 105 };

                snprintf(source, sizeof source, "10.0.0.%u", names[i]);
                expect_refusals(journal, source, 1);
        }
        expect_refusals(journal, NULL, 199 - 8);
        journald_expect_none(&journald);
        journal_free(journal);
}

#define TEST(name)                                                                                 \
        cmocka_unit_test_prestate_setup_teardown(name, journald_set_up, journald_tear_down,        \
                                                 &journald)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_write),   TEST(test_level), TEST(test_batch), TEST(test_rate),
                TEST(test_summary), TEST(test_sums),  TEST(test_empty), TEST(test_refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
