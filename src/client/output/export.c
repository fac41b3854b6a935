/* SPDX-License-Identifier: MIT */
/*
 * Writes the times of a run to the files that the options name: for spreadsheets (CSV), for the
 * tools of HdrHistogram, and as a picture.
 *
 * The picture shows the times over the percentiles, on an axis on which each further nine takes the
 * same room, since users look for the rare values. gnuplot draws it in a process of its own, from a
 * script on its standard input.
 *
 * The script must be complete and quoted: neither the user's gnuplot settings nor text in names may
 * change the picture. A file that cannot be written, even at fclose(3), is an error.
 */
#include "client/output/export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/network/inquiry.h"
#include "client/network/interrupt.h"
#include "client/value/quantity.h"
#include "client/value/schedule.h"
#include "lib/clock.h"
#include "lib/descriptor.h"

typedef void (*ExportLine)(FILE *file, const Histogram *histogram, const HistogramBucket *bucket,
                           uint64_t seen);

/* Calls @line for each bucket that is not empty, with the count up to there. */
static void export_buckets(const Histogram *histogram, FILE *file, ExportLine line) {
        uint64_t seen = 0;

        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(histogram, i);

                if (bucket.count == 0)
                        continue;
                seen += bucket.count;
                if (bucket.highest > histogram->maximum)
                        bucket.highest = histogram->maximum;
                line(file, histogram, &bucket, seen);
        }
}

static void export_csv_line(FILE *file, const Histogram *histogram, const HistogramBucket *bucket,
                            uint64_t seen) {
        fprintf(file, "%.3f,%" PRIu64 ",%" PRIu64 ",%.6f\n", (double)bucket->highest / 1000,
                bucket->count, seen, 100 * (double)seen / (double)histogram->count);
}

static void export_hgrm_line(FILE *file, const Histogram *histogram, const HistogramBucket *bucket,
                             uint64_t seen) {
        double count = (double)histogram->count, above = count - (double)seen;

        fprintf(file, "%12.6f %2.12f %10" PRIu64, (double)bucket->highest / CLOCK_MILLISECOND,
                (double)seen / count, seen);
        if (above > 0)
                fprintf(file, " %14.2f", count / above);
        putc('\n', file);
}

/* The rank is the middle of the last value, since the largest would lie at infinity. */
static void export_plot_line(FILE *file, const Histogram *histogram, const HistogramBucket *bucket,
                             uint64_t seen) {
        double count = (double)histogram->count;

        fprintf(file, "%.6f %.6f\n", count / (count - (double)seen + 0.5),
                (double)bucket->highest / CLOCK_MILLISECOND);
}

static void export_refuse(const char *path, int error, Failure *failure) {
        failure_set(failure, 0, "Cannot write '%s': %s", path, strerror(error));
}

static FILE *export_open(const char *path, Failure *failure) {
        FILE *file = fopen(path, "we");

        if (file == NULL)
                export_refuse(path, errno, failure);
        return file;
}

static void export_close(FILE *file, const char *path, Failure *failure) {
        int error = ferror(file) ? EIO : 0;

        if (fclose(file) == EOF)
                error = errno;
        if (error > 0)
                export_refuse(path, error, failure);
}

static void export_empty(const char *path, Failure *failure) {
        FILE *file = export_open(path, failure);

        if (file != NULL)
                export_close(file, path, failure);
}

static bool export_find_gnuplot(void) {
        const char *path = getenv("PATH");
        char file[PATH_MAX];

        for (; path != NULL; path = strchr(path, ':'), path += path != NULL) {
                snprintf(file, sizeof file, "%.*s/gnuplot", (int)strcspn(path, ":"), path);
                if (access(file, X_OK) == 0)
                        return true;
        }
        return false;
}

void export_prepare(Report *report, const ClientOptions *options) {
        Failure *failure = &report->failure;

        if (options->csv != NULL)
                export_empty(options->csv, failure);
        if (failure->kind == FAILURE_NONE && options->hgrm != NULL)
                export_empty(options->hgrm, failure);
        if (failure->kind != FAILURE_NONE || options->plot == NULL)
                return;
        if (export_find_gnuplot())
                export_empty(options->plot, failure);
        else
                failure_set(failure, 0,
                            "Cannot draw '%s': gnuplot is not installed (Debian package "
                            "gnuplot-nox)",
                            options->plot);
}

static void export_csv(const Histogram *histogram, const char *path, Failure *failure) {
        FILE *file = export_open(path, failure);

        if (file == NULL)
                return;
        fputs("microseconds,count,cumulative,percent\n", file);
        export_buckets(histogram, file, export_csv_line);
        export_close(file, path, failure);
}

static void export_hgrm(const Histogram *histogram, const char *path, Failure *failure) {
        FILE *file = export_open(path, failure);

        if (file == NULL)
                return;
        fputs("       Value     Percentile TotalCount 1/(1-Percentile)\n\n", file);
        export_buckets(histogram, file, export_hgrm_line);
        fprintf(file,
                "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n"
                "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n"
                "#[Buckets = %12d, SubBuckets     = %12d]\n",
                histogram->mean / CLOCK_MILLISECOND,
                histogram_deviation(histogram) / CLOCK_MILLISECOND,
                (double)histogram->maximum / CLOCK_MILLISECOND, histogram->count,
                HISTOGRAM_SIZE / HISTOGRAM_HALF, 2 * HISTOGRAM_HALF);
        export_close(file, path, failure);
}

/* gnuplot's double quotes know escapes; its single quotes know only the quote, doubled. */
static void export_quote(const char *text, FILE *file) {
        putc('\'', file);
        for (; *text != '\0'; text++)
                if (*text == '\n')
                        fputs("'.\"\\n\".'", file);
                else if (*text == '\'')
                        fputs("''", file);
                else
                        putc(*text, file);
        putc('\'', file);
}

/* A logarithmic axis of less than two powers of ten could have but one mark. */
static void export_axes(const Histogram *histogram, FILE *file) {
        double least = (double)histogram->minimum / CLOCK_MILLISECOND;
        double most = (double)histogram->maximum / CLOCK_MILLISECOND;
        double nines = 1;

        fputs("set xtics ('0' 1, '50' 2", file);
        for (int digits = 0; digits < 12; digits++) {
                nines *= 10;
                fprintf(file, ", '%.*f' %.0f", digits > 1 ? digits - 1 : 0, 100 - 100 / nines,
                        nines);
        }
        fprintf(file, ")\nset logscale x\nset xrange [1:%.0f]\n",
                histogram->count < 5 ? 10 : 2.5 * (double)histogram->count);
        if (least > 0 && most / least > 100)
                fprintf(file, "set logscale y\nset yrange [%.9f:%.9f]\n", least / 1.2, most * 1.2);
        else
                fprintf(file, "set yrange [0:%.9f]\n", most < 0.001 ? 0.001 : most * 1.1);
}

static void export_script(const Histogram *histogram, const char *path, const char *title,
                          FILE *file) {
        bool svg = strcmp(path + strlen(path) - strlen(".svg"), ".svg") == 0;

        fprintf(file, "set encoding utf8\nset terminal %s size 900,560 noenhanced\n",
                svg ? "svg" : "pngcairo");
        fputs("set output ", file);
        export_quote(path, file);
        fputs("\nset title ", file);
        export_quote(title, file);
        fputs("\nset xlabel 'percentile'\n"
              "set ylabel 'milliseconds'\n"
              "set format y '%.10g'\n"
              "set grid\n"
              "set key off\n",
              file);
        export_axes(histogram, file);
        fprintf(file, "plot '-' with fsteps linecolor 1 linewidth 2%s\n",
                histogram->count < 200 ? ", '-' with points linecolor 1 pointtype 7 pointsize 0.8"
                                       : "");
        for (int i = 0; i < (histogram->count < 200 ? 2 : 1); i++) {
                export_buckets(histogram, file, export_plot_line);
                fputs("e\n", file);
        }
}

/* Starts gnuplot with its standard input from a pipe; sets @ret_script to the other end. */
static int export_start(pid_t *ret_pid, FILE **ret_script) {
        /* The user's own settings would change the picture. */
        char *argv[] = { "gnuplot", "-d", "-", NULL };
        posix_spawnattr_t attributes;
        sigset_t signals;
        posix_spawn_file_actions_t actions;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO);
        sigemptyset(&signals);
        sigaddset(&signals, SIGPIPE);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigdefault(&attributes, &signals);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
        r = -posix_spawnp(ret_pid, argv[0], &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[0]);
        if (r == 0) {
                *ret_script = fdopen(fds[1], "w");
                if (*ret_script != NULL)
                        return 0;
                r = -errno;
                kill(*ret_pid, SIGTERM);
                (void)waitpid(*ret_pid, NULL, 0);
        }
        close(fds[1]);
        return r;
}

/* Waits for gnuplot, or kills it after the interrupt, which only a descriptor of gnuplot's allows.
 * Returns its status, or -EINTR. */
static int export_wait(pid_t pid, int interrupt) {
        struct pollfd polled[] = { { .fd = pidfd_open(pid, 0), .events = POLLIN },
                                   { .fd = interrupt, .events = POLLIN } };
        bool ended = polled[0].fd < 0;
        int status = 0;

        while (!ended && inquiry_poll(polled, 2, CLOCK_NEVER) > 0) {
                ended = (polled[0].revents & POLLIN) != 0;
                if (!ended && interrupt_is_due(interrupt))
                        break;
        }
        if (!ended)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        descriptor_close(polled[0].fd);
        return ended ? status : -EINTR;
}

static void export_draw(const Histogram *histogram, const char *path, const char *title,
                        int interrupt, Failure *failure) {
        FILE *script = NULL;
        int status, r;
        pid_t pid = 0;

        /* The exit status reports a gnuplot that ends early. */
        signal(SIGPIPE, SIG_IGN);
        r = export_start(&pid, &script);
        if (r < 0) {
                failure_set(failure, 0, "Cannot start gnuplot: %s", strerror(-r));
                return;
        }
        export_script(histogram, path, title, script);
        fclose(script);
        status = export_wait(pid, interrupt);
        if (status == -EINTR)
                failure_set_kind(failure, FAILURE_INTERRUPTED, 0,
                                 "Interrupted while gnuplot drew '%s'", path);
        else if (status != 0)
                failure_set(failure, 0, "Cannot draw '%s': gnuplot failed", path);
}

/* Describes the measurement, for users who see the picture years later. A long name of the target
 * has a line of its own. */
static void export_describe(const Report *report, const ClientOptions *options, FILE *file) {
        const bool load = options->action == CLIENT_LOAD;
        char host[HOST_NAME_MAX + 1] = "", date[sizeof "-2147481748-01-01 00:00"] = "";
        char target[TARGET_TEXT_SIZE], time[QUANTITY_TEXT_SIZE];
        const char *what = load ? client_load_name(options->load) : "round trips";
        struct tm local;

        target_format(&options->target, target);
        fprintf(file, "%s\n%s: %" PRIu64 " answered, %" PRIu64 " byte%s", target,
                options->connection.datagram ? "datagrams" : what,
                load ? report->answered : report->latency.count, options->size,
                quantity_plural(options->size));
        if (load)
                fprintf(file, ", %" PRIu64 " connection%s, %s s", options->connections,
                        quantity_plural(options->connections),
                        quantity_format_time(options->duration, time));
        else if (options->interval > 0)
                fprintf(file, ", every %s s", quantity_format_time(options->interval, time));
        if (options->rate > 0)
                fprintf(file, ", %.9g/s", (double)options->rate / SCHEDULE_UNIT);
        if (options->connect)
                fputs(", each on a new connection", file);
        (void)gethostname(host, sizeof host - 1);
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&report->time, &local));
        fprintf(file, "\nfrom %s, %s, mpecho-client " MPECHO_VERSION, host, date);
}

static void export_plot(const Report *report, const ClientOptions *options, Failure *failure) {
        char title[TARGET_TEXT_SIZE + 512];
        FILE *file = fmemopen(title, sizeof title, "w");

        if (file == NULL) {
                export_refuse(options->plot, errno, failure);
                return;
        }
        export_describe(report, options, file);
        fclose(file);
        export_draw(&report->latency, options->plot, title, options->connection.interrupt, failure);
}

void export_write(Report *report, const ClientOptions *options) {
        Failure failure = {};

        if (report->latency.count == 0)
                return;
        if (options->csv != NULL)
                export_csv(&report->latency, options->csv, &failure);
        if (options->hgrm != NULL)
                export_hgrm(&report->latency, options->hgrm, &failure);
        if (options->plot != NULL)
                export_plot(report, options, &failure);
        if (failure.kind == FAILURE_NONE)
                return;
        fprintf(stderr, "mpecho-client: %s\n", failure.text);
        if (report->failure.kind == FAILURE_NONE)
                report->failure = failure;
}
