/* SPDX-License-Identifier: MIT */
/* The files of a run: the rows of the distribution, and the script of the picture. */

#include "client/output/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/value/schedule.h"
#include "lib/clock.h"
#include "unit.h"

enum {
        TEXT_SIZE = 64 * 1024,
};

static char directory[] = "/tmp/mpecho-export-XXXXXX";
static char file[64];
static char text[TEXT_SIZE];
static Report report;

/* Puts a gnuplot into the search path that keeps its script. */
static int set_up(void **state) {
        static const char script[] = "#!/bin/sh\nexec cat > \"${0%/*}/file\"\n";
        char path[64];
        FILE *gnuplot;

        (void)state;
        if (mkdtemp(directory) == NULL)
                return -1;
        snprintf(file, sizeof file, "%s/file", directory);
        snprintf(path, sizeof path, "%s/gnuplot", directory);
        gnuplot = fopen(path, "w");
        if (gnuplot == NULL || fputs(script, gnuplot) < 0 || fclose(gnuplot) != 0 ||
            chmod(path, 0755) < 0)
                return -1;
        snprintf(path, sizeof path, "%s:/usr/bin:/bin", directory);
        return setenv("PATH", path, 1) < 0 || setenv("TZ", "UTC", 1) < 0;
}

static int tear_down(void **state) {
        char path[64];

        (void)state;
        snprintf(path, sizeof path, "%s/gnuplot", directory);
        (void)unlink(file);
        return unlink(path) < 0 || rmdir(directory) < 0;
}

/* Begins a report with @count equal times. */
static void begin(uint64_t count, uint64_t time) {
        report = (Report){};
        while (count-- > 0)
                histogram_record(&report.latency, time);
}

/* Writes the report as @options say, and reads the file. */
static void export(const ClientOptions *options) {
        ClientOptions run = *options;
        FILE *stream;

        run.connection.interrupt = -1;
        export_write(&report, &run);
        assert_int_equal(report.failure.kind, FAILURE_NONE);
        stream = fopen(file, "r");
        assert_non_null(stream);
        text[fread(text, 1, TEXT_SIZE - 1, stream)] = '\0';
        (void)fclose(stream);
}

static void expect(const char *part) {
        if (strstr(text, part) != NULL)
                return;
        print_error("'%s' is not in:\n%s", part, text);
        fail();
}

/* A file that cannot be written is a failure of a run without one, and hides no other. */
static void test_no_file(void **state) {
        const ClientOptions options = { .csv = "/nowhere/file", .connection.interrupt = -1 };

        (void)state;
        begin(1, 10);
        export_write(&report, &options);
        assert_int_equal(report.failure.kind, FAILURE_LOCAL);
        begin(1, 10);
        report.failure.kind = FAILURE_MISSING;
        export_write(&report, &options);
        assert_int_equal(report.failure.kind, FAILURE_MISSING);
}

/* A row has the count and the share up to its time; the last time is the maximum. */
static void test_rows(void **state) {
        (void)state;
        begin(3, 10);
        histogram_record(&report.latency, 1000001);
        export(&(ClientOptions){ .csv = file });
        assert_string_equal(text, "microseconds,count,cumulative,percent\n"
                                  "0.010,3,3,75.000000\n"
                                  "1000.001,1,4,100.000000\n");
        export(&(ClientOptions){ .hgrm = file });
        expect("    0.000010 0.750000000000          3           4.00\n"
               "    1.000001 1.000000000000          4\n#[Mean");
        expect("#[Max     =        1.000, Total count    =            4]\n");

        /* No time is too short for a row. */
        begin(1, 0);
        export(&(ClientOptions){ .csv = file });
        assert_string_equal(text, "microseconds,count,cumulative,percent\n"
                                  "0.000,1,1,100.000000\n");
}

/* Few times are marks on a linear axis; each half of the last value has its place. */
static void test_few(void **state) {
        (void)state;
        begin(4, CLOCK_MILLISECOND);
        export(&(ClientOptions){ .plot = file, .size = 1 });
        expect("set terminal pngcairo size");
        expect("\nset xrange [1:10]\nset yrange [0:1.100000000]\nplot '-' with fsteps linecolor 1 "
               "linewidth 2, '-' with points linecolor 1 pointtype 7 pointsize 0.8\n"
               "8.000000 1.000000\ne\n8.000000 1.000000\ne\n");
        assert_null(strstr(text, "logscale y"));

        begin(5, CLOCK_MILLISECOND);
        export(&(ClientOptions){ .plot = file, .size = 1 });
        expect("\nset xrange [1:12]\n");
}

/* Many times are a line, and those of different orders of magnitude have a logarithmic axis. */
static void test_many(void **state) {
        (void)state;
        begin(199, CLOCK_MILLISECOND);
        histogram_record(&report.latency, 120 * CLOCK_MILLISECOND);
        export(&(ClientOptions){ .plot = file, .size = 1 });
        expect("\nset xrange [1:500]\nset logscale y\nset yrange [0.833333333:144.000000000]\n"
               "plot '-' with fsteps linecolor 1 linewidth 2\n133.333333 1.0");
        expect("\n400.000000 120.000000\ne\n");
        assert_string_equal(strstr(text, "\ne\n"), "\ne\n");
}

/* The axis has a mark for each nine, with as many digits as it needs and nothing more, so that the
 * marks of ten million times do not touch. */
static void test_marks(void **state) {
        (void)state;
        begin(1, CLOCK_MILLISECOND);
        export(&(ClientOptions){ .plot = file, .size = 1 });
        expect("set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' "
               "10000, ");
        expect(", '99.9999999999' 1000000000000)\nset logscale x\n");
}

/* The picture says what was measured: the size, and what differs from a plain ping. */
static void test_subtitle(void **state) {
        static const struct {
                ClientOptions options;
                const char *subtitle;
        } cases[] = {
                { { .size = 1 }, "round trips: 1 answered, 1 byte'.\"\\n\".'from " },
                { { .size = 64, .interval = CLOCK_SECOND / 2 },
                  "64 bytes, every 0.5 s'.\"\\n\".'from " },
                { { .size = 64, .connect = true },
                  "64 bytes, each on a new connection'.\"\\n\".'from " },
                { { .size = 64,
                    .action = CLIENT_LOAD,
                    .connections = 32,
                    .duration = 10 * CLOCK_SECOND },
                  "64 bytes, 32 connections, 10 s'.\"\\n\".'from " },
                { { .size = 64,
                    .action = CLIENT_LOAD,
                    .connections = 1,
                    .duration = CLOCK_SECOND,
                    .interval = CLOCK_SECOND,
                    .rate = 3 * SCHEDULE_UNIT / 2 },
                  "64 bytes, 1 connection, 1 s, 1.5/s'.\"\\n\".'from " },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                ClientOptions options = cases[i].options;

                begin(1, CLOCK_MILLISECOND);
                options.plot = file;
                export(&options);
                expect(cases[i].subtitle);
                expect(", 1970-01-01 00:00, mpecho-client " MPECHO_VERSION);
        }
}

/* The names of the user are quoted: a quote is doubled, and a newline stays one. */
static void test_quoted(void **state) {
        ClientOptions options = { .plot = file, .size = 1, .target = { .host = "@it's\na" } };

        (void)state;
        begin(2, CLOCK_MILLISECOND);
        export(&options);
        expect("\nset title '@it''s'.\"\\n\".'a'.\"\\n\".'round trips: 2 answered, 1 "
               "byte'.\"\\n\".'");
        options.connection.datagram = true;
        export(&options);
        expect("'datagrams: 2 answered, ");
}

/* The title of a load counts the answers, without the times of those that did not come. */
static void test_unanswered(void **state) {
        (void)state;
        begin(8, CLOCK_MILLISECOND);
        report.answered = 3;
        export(&(ClientOptions){ .plot = file, .size = 1, .action = CLIENT_LOAD });
        expect("'requests: 3 answered, ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_file), cmocka_unit_test(test_rows),
                cmocka_unit_test(test_few),     cmocka_unit_test(test_many),
                cmocka_unit_test(test_marks),   cmocka_unit_test(test_subtitle),
                cmocka_unit_test(test_quoted),  cmocka_unit_test(test_unanswered),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
