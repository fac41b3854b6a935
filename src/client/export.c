/* SPDX-License-Identifier: MIT */
#include "client/export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/interrupt.h"

/* Lines of the longest time of a bucket in microseconds, its count, the count up to there, and the
 * percentage that is, joined by @separator. */
static void export_buckets(const Histogram *histogram, FILE *file, char separator) {
        uint64_t seen = 0;

        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                HistogramBucket bucket = histogram_bucket(histogram, i);

                if (bucket.count == 0)
                        continue;
                seen += bucket.count;
                if (bucket.highest > histogram->maximum)
                        bucket.highest = histogram->maximum;
                fprintf(file, "%.3f%c%" PRIu64 "%c%" PRIu64 "%c%.6f\n",
                        (double)bucket.highest / 1000, separator, bucket.count, separator, seen,
                        separator, 100 * (double)seen / (double)histogram->count);
        }
}

int export_csv(const Histogram *histogram, const char *path, Failure *ret_failure) {
        FILE *file = fopen(path, "we");
        int r;

        if (file == NULL)
                return failure_set(ret_failure, FAILURE_LOCAL, -errno, "cannot write '%s': %s",
                                   path, strerror(errno));
        fputs("microseconds,count,cumulative,percent\n", file);
        export_buckets(histogram, file, ',');
        r = ferror(file) ? -EIO : 0;
        if (fclose(file) == EOF)
                r = -errno;
        if (r < 0)
                return failure_set(ret_failure, FAILURE_LOCAL, r, "cannot write '%s': %s", path,
                                   strerror(-r));
        return 0;
}

/* gnuplot's double quotes know escapes; its single quotes know only the quote, doubled. */
static void export_quote(const char *text, FILE *file) {
        putc('\'', file);
        for (; *text != '\0'; text++) {
                if (*text == '\'')
                        putc('\'', file);
                putc(*text == '\n' ? ' ' : *text, file);
        }
        putc('\'', file);
}

static void export_script(const Histogram *histogram, const char *path, const char *title,
                          FILE *file) {
        bool svg = strcmp(path + strlen(path) - strlen(".svg"), ".svg") == 0;

        fprintf(file, "set terminal %s size 800,500 noenhanced\n", svg ? "svg" : "pngcairo");
        fputs("set output ", file);
        export_quote(path, file);
        fputs("\nset title ", file);
        export_quote(title, file);
        /* Of a single time gnuplot would say that it makes no range. */
        if (histogram->minimum == histogram->maximum)
                fprintf(file, "\nset xrange [%.6f:%.6f]", 0.9e-6 * (double)histogram->minimum,
                        1.1e-6 * (double)histogram->maximum);
        fputs("\nset xlabel 'milliseconds'\n"
              "set ylabel 'percent within'\n"
              "set yrange [0:100]\n"
              "set logscale x\n"
              "set grid\n"
              "set key off\n"
              "plot '-' using ($1 / 1000):4 with steps linewidth 2\n",
              file);
        export_buckets(histogram, file, ' ');
        fputs("e\n", file);
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
        }
        close(fds[1]);
        return r;
}

/* Waits for gnuplot, or ends it when the user does not want to. Returns its status, or -EINTR. */
static int export_wait(pid_t pid, int interrupt) {
        struct pollfd polled[] = { { .fd = pidfd_open(pid, 0), .events = POLLIN },
                                   { .fd = interrupt, .events = POLLIN } };
        bool ended = false;
        int status = 0;

        while (!ended && polled[0].fd >= 0 && (poll(polled, 2, -1) > 0 || errno == EINTR)) {
                ended = (polled[0].revents & POLLIN) != 0;
                if (!ended && interrupt_is_due(interrupt))
                        break;
        }
        if (!ended)
                kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (polled[0].fd >= 0)
                close(polled[0].fd);
        return ended ? status : -EINTR;
}

int export_plot(const Histogram *histogram, const char *path, const char *title, int interrupt,
                Failure *ret_failure) {
        FILE *script = NULL, *picture;
        int status = 0, r;
        pid_t pid = 0;

        /* A gnuplot that ends early tells why by its status. */
        signal(SIGPIPE, SIG_IGN);
        r = export_start(&pid, &script);
        if (r == -ENOENT)
                return failure_set(ret_failure, FAILURE_LOCAL, r,
                                   "cannot draw '%s': gnuplot is not installed (Debian's "
                                   "gnuplot-nox will do)",
                                   path);
        if (r < 0)
                return failure_set(ret_failure, FAILURE_LOCAL, r, "cannot start gnuplot: %s",
                                   strerror(-r));
        /* What gnuplot cannot write it draws to standard output. */
        picture = fopen(path, "we");
        if (picture == NULL) {
                r = failure_set(ret_failure, FAILURE_LOCAL, -errno, "cannot write '%s': %s", path,
                                strerror(errno));
        } else {
                fclose(picture);
                export_script(histogram, path, title, script);
        }
        fclose(script);
        status = export_wait(pid, interrupt);
        if (r == 0 && status == -EINTR)
                r = failure_set(ret_failure, FAILURE_INTERRUPTED, -EINTR,
                                "interrupted while gnuplot drew '%s'", path);
        else if (r == 0 && status != 0)
                r = failure_set(ret_failure, FAILURE_LOCAL, -EIO, "gnuplot could not draw '%s'",
                                path);
        return r;
}
