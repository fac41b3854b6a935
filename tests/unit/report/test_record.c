/* SPDX-License-Identifier: MIT */
/* Records: their fields, their text and their entries in the catalog, read from the top of the
 * source tree. */

#include "report/record.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "journald.h"
#include "unit.h"
#include "whole.h"

#define LISTENER "MPECHO_LISTENER=[::]:7\nMPECHO_LISTENER_NAME=echo\n"
#define PEER                                                                                       \
        "MPECHO_PEER=192.0.2.7:51234\nMPECHO_PEER_ADDRESS=192.0.2.7\n"                             \
        "MPECHO_PROXY=[::1]:4242\n"
#define HANDLER PEER LISTENER "MPECHO_HANDLER_PID=101\n"
#define ENDED   "MPECHO_BYTES=102\nMPECHO_DURATION_USEC=1234567\nMPECHO_LIVE=105\n"
#define TOTALS                                                                                     \
        "MPECHO_LIVE=105\nMPECHO_PEAK=106\nMPECHO_SERVED=107\nMPECHO_REFUSED=111\n"                \
        "MPECHO_BYTES=102\nMPECHO_DURATION_USEC=1234567\nMPECHO_DATAGRAMS_ANSWERED=123\n"          \
        "MPECHO_DATAGRAMS_REFUSED=124\nMPECHO_DATAGRAMS_DROPPED=125\n"
#define DATAGRAMS                                                                                  \
        LISTENER "MPECHO_HANDLER_PID=101\nMPECHO_ANSWERED=115\nMPECHO_REFUSED=111\n"               \
                 "MPECHO_REFUSED_SOURCE=117\nMPECHO_REFUSED_DESTINATION=118\n"                     \
                 "MPECHO_REFUSED_PORT=119\nMPECHO_REFUSED_SELF=120\nMPECHO_REFUSED_RATE=121\n"     \
                 "MPECHO_REFUSED_OVERALL=122\nMPECHO_DROPPED=116\nMPECHO_BYTES=102\n"              \
                 "MPECHO_DURATION_USEC=1234567\n"
#define COUNTS                                                                                     \
        "MPECHO_ACCEPTED=108\nMPECHO_CLOSED=109\nMPECHO_CRASHED=110\nMPECHO_REFUSED=111\n"         \
        "MPECHO_BYTES=102\n"
#define TOTALS_TEXT                                                                                \
        "105 live (peak 106), 107 served, 111 refused, 102 bytes echoed; 123 datagrams answered, " \
        "124 refused, 125 dropped"
#define DATAGRAMS_TEXT                                                                             \
        "Datagrams at [::]:7 in the last 1.234 s: 115 answered, 111 refused (source 117, "         \
        "destination 118, port 119, self 120, rate 121, overall 122), 116 dropped, 102 bytes "     \
        "echoed"
#define COUNTS_TEXT "108 accepted, 109 closed, 110 crashed, 111 refused, 102 bytes echoed"

/* What the manual promises of each kind. */
static const struct {
        int priority;
        const char *fields; /* in any order */
        const char *message;
} kinds[RECORD_COUNT] = {
        [RECORD_STARTED] = { LOG_INFO, "MPECHO_LISTENER=[::]:7\nMPECHO_MAX_CONNECTIONS=113\n",
                             "Echoing (RFC 862) on [::]:7, up to 113 connections at once" },
        [RECORD_STOPPED] = { LOG_INFO, TOTALS,
                             "Stopped with the counts of the last 1.234 s: " TOTALS_TEXT },
        [RECORD_ACCEPTED] = { LOG_INFO, HANDLER "MPECHO_LIVE=105\n",
                              "192.0.2.7:51234 connected to [::]:7 through [::1]:4242, process "
                              "101, "
                              "105 live" },
        [RECORD_CLOSED] = { LOG_INFO, HANDLER ENDED "MPECHO_REASON=closed by peer\n",
                            "192.0.2.7:51234 disconnected from [::]:7, closed by peer: "
                            "102 bytes echoed in 1.234 s, 105 live" },
        [RECORD_CRASHED] = { LOG_WARNING, HANDLER ENDED "MPECHO_SIGNAL=9\n",
                             "Signal 9 (SIGKILL) killed the handler of 192.0.2.7:51234, process "
                             "101: 102 bytes echoed in 1.234 s, 105 live" },
        [RECORD_REFUSED] = { LOG_NOTICE,
                             PEER LISTENER "MPECHO_REASON=closed by peer\n"
                                           "MPECHO_LIMIT=max-per-source\nMPECHO_LIMIT_VALUE=114\n"
                                           "MPECHO_LIVE=105\n",
                             "Refused 192.0.2.7:51234 at [::]:7: closed by peer" },
        [RECORD_FULL] = { LOG_NOTICE, "MPECHO_MAX_CONNECTIONS=113\nMPECHO_LIVE=105\n",
                          "Reached the limit of --max-connections=113: new clients wait until a "
                          "connection ends" },
        [RECORD_REFUSALS] = { LOG_NOTICE,
                              "MPECHO_PEER_ADDRESS=192.0.2.7\nMPECHO_LIMIT=max-per-source\n"
                              "MPECHO_REFUSED=111\nMPECHO_DURATION_USEC=1234567\n",
                              "Refused 192.0.2.7:51234 111 times in the last 1.234 s because of "
                              "--max-per-source" },
        [RECORD_SUMMARY] = { LOG_INFO, COUNTS "MPECHO_DURATION_USEC=1234567\n",
                             "Suppressed in the last 1.234 s: " COUNTS_TEXT },
        [RECORD_LOST] = { LOG_WARNING, COUNTS "MPECHO_LOST=112\n",
                          "Lost 112 records, of connections: " COUNTS_TEXT },
        [RECORD_EXHAUSTED] = { LOG_WARNING,
                               LISTENER "MPECHO_LIMIT=max-per-source\nERRNO=24\n"
                                        "MPECHO_REFUSED=111\nMPECHO_LIVE=105\n",
                               "Cannot accept connections at [::]:7: Too many open files (limit: "
                               "max-per-source), 111 refused" },
        [RECORD_CONNECTION] = { LOG_INFO,
                                HANDLER "MPECHO_BYTES=102\nMPECHO_DURATION_USEC=1234567\n",
                                "192.0.2.7:51234 is connected to [::]:7, process 101: "
                                "102 bytes echoed in 1.234 s" },
        [RECORD_TOTALS] = { LOG_INFO, TOTALS, TOTALS_TEXT },
        [RECORD_LIMITED] = { LOG_WARNING,
                             "MPECHO_LIMIT=max-per-source\nMPECHO_LIMIT_VALUE=114\n"
                             "MPECHO_MAX_CONNECTIONS=113\n",
                             "max-per-source is 114, too low for --max-connections=113" },
        [RECORD_STRANGER] = { LOG_WARNING, "MPECHO_DESCRIPTOR=104\nMPECHO_LISTENER_NAME=echo\n",
                              "Something failed" },
        [RECORD_UNNAMED] = { LOG_WARNING, "",
                             "Ignoring LISTEN_FDNAMES: it does not name each passed file "
                             "descriptor" },
        [RECORD_RECOUNTED] = { LOG_NOTICE, "",
                               "Counts begin at 0 again: those of the last run are missing, or "
                               "have "
                               "another form" },
        [RECORD_RESUMED] = { LOG_INFO, "MPECHO_LIVE=105\n",
                             "105 connections of the last run go on" },
        [RECORD_DATAGRAMS] = { LOG_INFO, DATAGRAMS, DATAGRAMS_TEXT },
        [RECORD_SOCKET] = { LOG_INFO, DATAGRAMS, DATAGRAMS_TEXT },
        [RECORD_RESTARTED] = { LOG_WARNING,
                               LISTENER "MPECHO_HANDLER_PID=101\nMPECHO_SIGNAL=9\n"
                                        "MPECHO_DURATION_USEC=1234567\n",
                               "Signal 9 (SIGKILL) killed the handler of [::]:7, process 101; the "
                               "next one starts in 1.234 s" },
        [RECORD_UNSERVED] = { LOG_WARNING, LISTENER "MPECHO_LIMIT=max-per-source\nERRNO=24\n",
                              "Cannot start the handler of [::]:7: Too many open files (limit: "
                              "max-per-source)" },
        [RECORD_FAILED] = { LOG_ERR, "", "Something failed" },
};

static size_t count_lines(const char *text) {
        size_t n = 0;

        for (; *text != '\0'; text++)
                n += *text == '\n';
        return n;
}

static void format(const Record *record, char data[static RECORD_SIZE + 1]) {
        size_t length = record_format_journal(record, data);

        assert_in_range(length, 1, RECORD_SIZE);
        data[length] = '\0';
        assert_int_equal(strlen(data), length);
        assert_int_equal(data[length - 1], '\n');
}

/* Whether @line, which ends with a newline, is one of those in @data. */
static bool has_line(const char *data, const char *line) {
        size_t length = strcspn(line, "\n") + 1;

        for (; *data != '\0'; data += strcspn(data, "\n") + 1)
                if (strncmp(data, line, length) == 0)
                        return true;
        return false;
}

/* Every kind has all the fields that the manual promises, with the values of its record, the fields
 * that all have, and no others. */
static void test_fields(void **state) {
        (void)state;
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                char data[RECORD_SIZE + 1], common[512];
                Record record = whole;

                record.kind = kind;
                format(&record, data);
                snprintf(common, sizeof common,
                         "SYSLOG_IDENTIFIER=mpecho\nMESSAGE_ID=%s\nPRIORITY=%d\nMESSAGE=%s\n",
                         record_id(kind), kinds[kind].priority, kinds[kind].message);
                for (const char *line = common; *line != '\0'; line = strchr(line, '\n') + 1)
                        if (!has_line(data, line))
                                fail_msg("kind %u lacks %s", kind, line);
                for (const char *line = kinds[kind].fields; *line != '\0';
                     line = strchr(line, '\n') + 1)
                        if (!has_line(data, line))
                                fail_msg("kind %u lacks %s", kind, line);
                assert_int_equal(count_lines(data),
                                 count_lines(common) + count_lines(kinds[kind].fields));
        }
}

/* The sentence that stderr gets is the message that the journal gets. */
static void test_sentences(void **state) {
        (void)state;
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                char text[RECORD_SIZE];
                Record record = whole;

                record.kind = kind;
                assert_int_equal(record_format_sentence(&record, text, sizeof text),
                                 strlen(kinds[kind].message));
                assert_string_equal(text, kinds[kind].message);
                assert_int_equal(record_priority(&record), kinds[kind].priority);
        }
}

/* A record without the name of its listener, a proxy or a reason has no such field, rather than an
 * empty one. */
static void test_no_name(void **state) {
        char data[RECORD_SIZE + 1];
        Record record = whole;

        (void)state;
        record.kind = RECORD_ACCEPTED;
        record.listener_name = NULL;
        record.proxy = NULL;
        format(&record, data);
        assert_null(strstr(data, "MPECHO_PROXY"));
        assert_null(strstr(data, "MPECHO_LISTENER_NAME"));
        assert_non_null(strstr(data, "MPECHO_LISTENER=[::]:7\n"));
        record.kind = RECORD_REFUSED;
        record.reason = NULL;
        format(&record, data);
        assert_null(strstr(data, "MPECHO_REASON"));
}

/* No text, whatever is in it, makes another field or reaches a terminal as more than text. */
static void test_forgery(void **state) {
        static const char evil[] = "a\nMESSAGE=forged\n\nPRIORITY=0\r\033[2J\a\b\t\x7f"
                                   "b";

        (void)state;
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                char data[RECORD_SIZE + 1], text[RECORD_SIZE], clean[RECORD_SIZE + 1];
                Record record = whole;

                record.kind = kind;
                format(&record, clean);
                record.peer = record.listener = record.listener_name = evil;
                record.reason = record.limit = record.sentence = evil;
                format(&record, data);
                assert_int_equal(count_lines(data), count_lines(clean));
                for (const char *byte = data; *byte != '\0'; byte++)
                        assert_true(*byte == '\n' ||
                                    ((unsigned char)*byte >= ' ' && *byte != 0x7f));
                (void)record_format_sentence(&record, text, sizeof text);
                for (const char *byte = text; *byte != '\0'; byte++)
                        assert_true((unsigned char)*byte >= ' ' && *byte != 0x7f);
        }
}

/* A record with the longest texts that there are is whole, with the largest numbers as well. */
static void test_longest(void **state) {
        static char text[1024], name[100000];

        (void)state;
        memset(text, 'x', sizeof text - 1);
        memset(name, 'y', sizeof name - 1);
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                char data[RECORD_SIZE + 1];
                Record record = whole;

                record.kind = kind;
                record.listener = record.sentence = text;
                record.listener_name = name;
                record.bytes = record.duration = record.served = UINT64_MAX;
                format(&record, data);
                assert_int_equal(count_lines(data), 4 + count_lines(kinds[kind].fields));
                assert_non_null(strstr(data, "\nMESSAGE="));
        }
}

/* The whole file, a static string. */
static const char *read_catalog(void) {
        static char text[64 * 1024];
        FILE *file = fopen("systemd/mpecho.catalog", "re");
        size_t length;

        assert_non_null(file);
        length = fread(text, 1, sizeof text - 1, file);
        assert_in_range(length, 1, sizeof text - 2);
        fclose(file);
        return text;
}

/* Every field that the entry of @kind in the catalog, which ends at @end, speaks of is one that its
 * records have. */
static void expect_fields(RecordKind kind, const char *entry, const char *end) {
        for (const char *at = strchr(entry, '@'); at != NULL && at < end;
             at = strchr(at + 1, '@')) {
                char field[64];
                size_t length = strcspn(at + 1, "@");

                assert_in_range(length, 1, sizeof field - 2);
                snprintf(field, sizeof field, "%.*s=", (int)length, at + 1);
                if (strstr(kinds[kind].fields, field) == NULL)
                        fail_msg("kind %u has no %s for the catalog", kind, field);
                at += length + 1;
        }
}

/* Each kind has a message ID that no other has, and an entry in the catalog under it, which speaks
 * of no fields that the record does not have; the catalog has no other entries. */
static void test_catalog(void **state) {
        char ids[RECORD_COUNT][33];
        const char *catalog = read_catalog();
        size_t entries = 0;

        (void)state;
        for (RecordKind kind = 0; kind < RECORD_COUNT; kind++) {
                char head[64];
                const char *entry, *text, *end;

                memcpy(ids[kind], record_id(kind), sizeof ids[kind]);
                assert_int_equal(strspn(ids[kind], "0123456789abcdef"), 32);
                for (RecordKind other = 0; other < kind; other++)
                        assert_string_not_equal(ids[kind], ids[other]);
                snprintf(head, sizeof head, "\n-- %.32s\nSubject: ", ids[kind]);
                entry = strstr(catalog, head);
                if (entry != NULL) {
                        text = entry + strlen(head);
                        end = strstr(text, "\n-- ");
                        expect_fields(kind, text, end != NULL ? end : text + strlen(text));
                } else {
                        fail_msg("the catalog lacks %s", ids[kind]);
                }
        }
        for (const char *at = strstr(catalog, "\n-- "); at != NULL; at = strstr(at + 1, "\n-- "))
                entries++;
        assert_int_equal(entries, RECORD_COUNT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields),  cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_no_name), cmocka_unit_test(test_forgery),
                cmocka_unit_test(test_longest), cmocka_unit_test(test_catalog),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
