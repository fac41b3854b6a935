/* SPDX-License-Identifier: MIT */
/* Sentences with other words for other values. test_record.c has one of each kind. */

#include "report/sentence.h"

#include <signal.h>
#include <string.h>

#include "unit.h"
#include "whole.h"

static void format(const Record *record, char text[static RECORD_SIZE]) {
        Line line = { .text = text, .size = RECORD_SIZE };

        sentence_add(&line, record);
        assert_int_equal(strlen(text), line.length);
}

/* A refusal without a reason of its own gives that of its limit; without a proxy none is named. */
static void test_refused(void **state) {
        static const struct {
                RecordKind kind;
                const char *limit, *sentence;
        } cases[] = {
                { RECORD_REFUSED, "max-per-source",
                  "Refused 192.0.2.7:51234 at [::]:7: its source has 114 connections, the limit of "
                  "--max-per-source" },
                { RECORD_REFUSED, "proxy-from",
                  "Refused 192.0.2.7:51234 at [::]:7: --proxy-from does not list it" },
                { RECORD_REFUSED, "memory",
                  "Refused 192.0.2.7:51234 at [::]:7: the service is near its limit on memory" },
                { RECORD_REFUSALS, "memory",
                  "Refused 192.0.2.7:51234 111 times in the last 1.234 s because of the limit on "
                  "memory" },
                { RECORD_REFUSALS, "proxy-header",
                  "Refused 192.0.2.7:51234 111 times in the last 1.234 s because of the PROXY "
                  "header" },
                { RECORD_REFUSALS, "several",
                  "Refused 192.0.2.7:51234 111 times in the last 1.234 s for several reasons" },
                { RECORD_ACCEPTED, NULL,
                  "192.0.2.7:51234 connected to [::]:7, process 101, 105 live" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                char text[RECORD_SIZE];
                Record record = whole;

                record.kind = cases[i].kind;
                record.limit = cases[i].limit;
                record.reason = record.proxy = NULL;
                format(&record, text);
                assert_string_equal(text, cases[i].sentence);
        }
}

/* A service that listens nowhere says so. */
static void test_no_listener(void **state) {
        char text[RECORD_SIZE];
        Record record = whole;

        (void)state;
        record.kind = RECORD_STARTED;
        record.listener = "\0another string";
        format(&record, text);
        assert_string_equal(text, "Echoing (RFC 862) on no listening socket, up to 113 connections "
                                  "at once");
}

/* A signal that has no name is told by its number, and none is no signal. */
static void test_signal(void **state) {
        char text[RECORD_SIZE];
        Record record = whole;

        (void)state;
        record.kind = RECORD_CRASHED;
        record.signal = (uint64_t)SIGRTMAX;
        format(&record, text);
        assert_non_null(strstr(text, "(SIG?)"));
        record.signal = 0;
        format(&record, text);
        assert_string_equal(text,
                            "systemd's store lacks the connection of 192.0.2.7:51234, process 101: "
                            "102 bytes echoed in 1.234 s, 105 live");
        record.kind = RECORD_RESTARTED;
        record.signal = 1;
        format(&record, text);
        assert_string_equal(text,
                            "Signal 1 (SIGHUP) killed the handler of [::]:7, process 101; the "
                            "next one starts in 1.234 s");
}

/* What has a sentence of its own gets it as it is. */
static void test_own_sentence(void **state) {
        char text[RECORD_SIZE];
        Record record = whole;

        (void)state;
        record.kind = RECORD_FAILED;
        record.sentence = "Cannot open '%s%n': no such file";
        format(&record, text);
        assert_string_equal(text, record.sentence);
}

/* The sentence of the counts says that the limit is reached, if there is one. */
static void test_full(void **state) {
        char text[RECORD_SIZE];
        Record record = whole;

        (void)state;
        record.kind = RECORD_TOTALS;
        record.live = record.max_connections;
        format(&record, text);
        assert_memory_equal(text, "113 live, the limit (peak 106), ", 31);
        record.live = record.max_connections = 1;
        format(&record, text);
        assert_memory_equal(text, "1 live, the limit (peak 106), ", 29);
        record.max_connections = 0;
        format(&record, text);
        assert_memory_equal(text, "1 live (peak 106), ", 18);
}

/* One is not several. */
static void test_one(void **state) {
        static const struct {
                RecordKind kind;
                const char *beginning;
        } cases[] = {
                { RECORD_RESUMED, "1 connection of the last run goes on" },
                { RECORD_LOST, "Lost 1 record, " },
                { RECORD_REFUSALS, "Refused 192.0.2.7:51234 1 time in " },
        };
        char text[RECORD_SIZE];

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                Record record = whole;

                record.kind = cases[i].kind;
                record.live = record.lost = record.refused = 1;
                format(&record, text);
                assert_memory_equal(text, cases[i].beginning, strlen(cases[i].beginning));
        }
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                static const char *const plurals[] = { " 1 bytes", " 1 connections", " 1 datagrams",
                                                       " 1 times", " 1 records" };
                char sentence[RECORD_SIZE];
                Record record = whole;

                record.kind = kind;
                record.bytes = record.lost = record.refused = record.datagrams_answered = 1;
                record.max_connections = record.limit_value = 1;
                format(&record, sentence);
                for (size_t i = 0; i < COUNT(plurals); i++)
                        assert_null(strstr(sentence, plurals[i]));
        }
}

/* A text that is too long is cut, and stays a string. */
static void test_cut(void **state) {
        char text[9];
        Line line = { .text = text, .size = sizeof text };
        Record record = whole;

        (void)state;
        record.kind = RECORD_FAILED;
        sentence_add(&line, &record);
        assert_string_equal(text, "Somethin");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused), cmocka_unit_test(test_no_listener),
                cmocka_unit_test(test_signal),  cmocka_unit_test(test_own_sentence),
                cmocka_unit_test(test_full),    cmocka_unit_test(test_one),
                cmocka_unit_test(test_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
