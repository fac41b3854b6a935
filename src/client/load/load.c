/* SPDX-License-Identifier: MIT */
/*
 * Runs a load: connects once, forks a worker for each core, and supervises them.
 *
 * The first connection finds the address that answers; a worker inherits it, so that the service
 * counts no connection beyond those of the load. Each worker writes its counts to a page of shared
 * memory. This process reads the pages for progress, reports and inquiries without disturbing the
 * workers.
 *
 * The workers connect, close a pipe when they are ready, and begin at the instant that this process
 * chooses (crew.c). It then waits for the end of another pipe, which the last worker closes by its
 * exit. After an interrupt the workers end soon.
 *
 * No worker may outlive this process, and a worker that died must show in the report.
 */
#include "client/load/load.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/load/load_result.h"
#include "client/load/spray.h"
#include "client/load/stream.h"
#include "client/load/worker.h"
#include "client/network/inquiry.h"
#include "client/output/progress.h"
#include "client/value/quantity.h"
#include "lib/clock.h"
#include "lib/descriptor.h"
#include "lib/mapping.h"

enum {
        /* A worker's descriptors beside its connections. */
        LOAD_DESCRIPTORS = 16,
};

#define LOAD_TICK (200 * CLOCK_MILLISECOND)

/* The time between the announcement of the start and the start. */
#define LOAD_LEAD CLOCK_MILLISECOND

typedef struct Load {
        const ClientOptions *options;
        Report *report;
        Endpoint peer;
        /* The connection that found the address, or -1. */
        int first;
        uint64_t setup;
        unsigned workers;
        /* The instant of the start, 0 before it is known. */
        uint64_t start;
        Interims interims;
        Progress progress;
        pid_t *pids;
        LoadPage *pages;
        LoadSent *sent;
        /* The pipes of crew_start(), and one that all workers hold until they exit. */
        int ready[2];
        int go[2];
        int end[2];
} Load;

static unsigned load_cores(void) {
        cpu_set_t set;

        return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

static size_t load_share(const Load *load, unsigned index) {
        uint64_t connections = load->options->connections;

        assert(load->workers > 0);
        return connections / load->workers + (index < connections % load->workers ? 1 : 0);
}

static int load_raise_limit(const Load *load, Failure *failure) {
        uint64_t needed = load_share(load, 0) + LOAD_DESCRIPTORS;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 0;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed)
                return failure_set(failure, -EMFILE,
                                   "Cannot open %" PRIu64
                                   " connection%s: each process needs %" PRIu64
                                   " descriptor%s, and ulimit -Hn allows %" PRIu64,
                                   load->options->connections,
                                   quantity_plural(load->options->connections), needed,
                                   quantity_plural(needed), (uint64_t)limit.rlim_max);
        return 0;
}

static _Noreturn void load_work(const Load *load, unsigned index, pid_t parent) {
        LoadPlan plan = { .options = load->options,
                          .peer = &load->peer,
                          .page = &load->pages[index],
                          .index = index,
                          .workers = load->workers,
                          .connections = load_share(load, index),
                          .first = index == 0 ? load->first : -1,
                          .setup = load->setup,
                          .ready = load->ready[1],
                          .go = load->go[0] };
        int r;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        inquiry_ignore();
        close(load->ready[0]);
        close(load->go[1]);
        close(load->end[0]);
        if (index != 0)
                descriptor_close(load->first);
        if (load->options->connection.datagram)
                r = spray_run(&plan);
        else
                r = load->options->load == LOAD_STREAMS ? stream_run(&plan) : worker_run(&plan);
        _exit(r < 0 ? -r : 0);
}

/* Forks the workers, which connect. The caller reaps all of them, also after an error. */
static int load_fork(Load *load) {
        size_t before = 0;
        pid_t parent = getpid();
        int r = 0;

        if (pipe2(load->ready, O_CLOEXEC) < 0 || pipe2(load->go, O_CLOEXEC) < 0 ||
            pipe2(load->end, O_CLOEXEC) < 0)
                return -errno;
        for (unsigned i = 0; i < load->workers && r == 0; i++) {
                load->pages[i].sent = load->sent + before;
                before += load_share(load, i);
                load->pids[i] = fork();
                if (load->pids[i] == 0)
                        load_work(load, i, parent);
                if (load->pids[i] < 0)
                        r = -errno;
        }
        load->ready[1] = descriptor_close(load->ready[1]);
        load->end[1] = descriptor_close(load->end[1]);
        load->first = descriptor_close(load->first);
        return r;
}

static void load_start(Load *load) {
        load->start = clock_now() + LOAD_LEAD;
        interims_init(&load->interims, load->options, load->start);
        for (unsigned i = 0; i < load->workers; i++)
                load->pages[i].start = load->start;
        load->go[1] = descriptor_close(load->go[1]);
}

static Interim load_count(const Load *load) {
        Interim count = {};
        uint64_t now;

        for (unsigned i = 0; i < load->workers; i++) {
                const LoadPage *page = &load->pages[i];

                count.answered += page->answered;
                /* In this order, as the worker goes on: what came back was sent before. */
                count.bytes_received += page->bytes_received;
                count.bytes_sent += page->bytes_sent;
                for (int kind = 0; kind < FAILURE_KINDS; kind++)
                        count.errors += page->errors[kind];
        }
        /* After the counts, as the workers go on. The start may still lie ahead. */
        now = clock_now();
        if (load->start > 0 && now > load->start)
                count.elapsed = now - load->start;
        return count;
}

/* Returns the counts while the workers go on. A worker of streams sends in one process and receives
 * in another. All others count a request before they receive its answer, and a network can
 * duplicate the answers to datagrams. */
static Interim load_count_so_far(const Load *load) {
        Interim count = load_count(load);

        if (load->options->load == LOAD_STREAMS)
                interim_settle(&count);
        return count;
}

static void load_show_progress(Load *load) {
        const Interim count = load_count_so_far(load);
        double left = (double)load->options->duration - (double)count.elapsed;
        double seconds = left > 0 ? left / (double)CLOCK_SECOND : 0;
        char rate[QUANTITY_TEXT_SIZE];

        quantity_format_bytes(interim_rate(count.bytes_received, count.elapsed), rate);
        if (load->options->load == LOAD_STREAMS)
                progress_show(&load->progress, "%.1f s  %s/s  %.1f s left",
                              clock_seconds(count.elapsed), rate, seconds);
        else
                progress_show(&load->progress, "%.1f s  %" PRIu64 "  %.0f/s  %.1f s left",
                              clock_seconds(count.elapsed), count.answered,
                              interim_rate(count.answered, count.elapsed), seconds);
}

static void load_answer(void *userdata) {
        static Histogram latency;
        Load *load = userdata;
        const Interim count = load_count_so_far(load);

        latency = (Histogram){};
        for (unsigned i = 0; i < load->workers; i++)
                histogram_add(&latency, &load->pages[i].latency);
        report_print_state(&count, &latency, load->options, &load->progress);
}

static void load_stop(Load *load) {
        for (unsigned i = 0; i < load->workers; i++)
                load->pages[i].stop = true;
}

/* Waits until the workers have closed the other end of the pipe @fd. The first interrupt makes them
 * end soon. */
static void load_wait(Load *load, int fd, int *interrupt) {
        struct pollfd polled[] = { { .fd = fd, .events = POLLIN },
                                   { .fd = *interrupt, .events = POLLIN } };

        while (polled[0].revents == 0) {
                uint64_t wake = clock_now() + LOAD_TICK;
                Interim count;
                int r;

                r = inquiry_poll(polled, 2, clock_earlier(wake, load->interims.next));
                if (r < 0)
                        break;
                if (r > 0 && polled[1].revents != 0) {
                        load_stop(load);
                        polled[1].fd = *interrupt = -1;
                }
                count = load_count_so_far(load);
                if (load->start + count.elapsed >= load->interims.next)
                        interims_report(&load->interims, &count);
                if (load->start > 0)
                        load_show_progress(load);
        }
}

/* Reaps all workers; the counts of one that did not end in order are incomplete. */
static void load_reap(Load *load) {
        for (unsigned i = 0; i < load->workers; i++) {
                int status = 0, number;

                if (load->pids[i] <= 0)
                        continue;
                while (waitpid(load->pids[i], &status, 0) < 0 && errno == EINTR)
                        ;
                number = WIFSIGNALED(status) ? WTERMSIG(status) : load->pages[i].sender_signal;
                if (number != 0)
                        failure_set(&load->report->failure, 0,
                                    "Signal %d (%s) ended %s; its figures are incomplete", number,
                                    strsignal(number),
                                    WIFSIGNALED(status) ? "a worker"
                                                        : "the sending process of a worker");
                else if (WEXITSTATUS(status) != 0)
                        failure_set(&load->report->failure, 0, "Cannot run a worker: %s",
                                    strerror(WEXITSTATUS(status)));
        }
}

static void load_measure(Load *load) {
        int interrupt = load->options->connection.interrupt, r;
        Interim count;

        progress_init(&load->progress, client_options_want_progress(load->options));
        inquiry_set(load_answer, load);
        r = load_fork(load);
        if (r < 0) {
                failure_set(&load->report->failure, 0, "Cannot start a worker: %s", strerror(-r));
                load_stop(load);
                load->go[1] = descriptor_close(load->go[1]);
        } else {
                load_wait(load, load->ready[0], &interrupt);
                load_start(load);
                load_wait(load, load->end[0], &interrupt);
        }
        progress_clear(&load->progress);
        load_reap(load);
        count = load_count(load);
        interims_end(&load->interims, &count);
        load_result_set(load->options, load->pages, load->workers, load->report);
        for (int i = 0; i < 2; i++) {
                load->ready[i] = descriptor_close(load->ready[i]);
                load->go[i] = descriptor_close(load->go[i]);
                load->end[i] = descriptor_close(load->end[i]);
        }
}

void load_run(const ClientOptions *options, Report *report) {
        unsigned cores = load_cores();
        Load load = { .options = options,
                      .report = report,
                      .first = -1,
                      .interims.next = CLOCK_NEVER,
                      .ready = { -1, -1 },
                      .go = { -1, -1 },
                      .end = { -1, -1 } };
        size_t pages, sent = options->connections * sizeof *load.sent;

        load.workers = options->connections < cores ? (unsigned)options->connections : cores;
        pages = load.workers * sizeof *load.pages;
        if (load_raise_limit(&load, &report->failure) < 0)
                return;
        load.pids = calloc(load.workers, sizeof *load.pids);
        load.pages = mapping_new_shared(pages);
        load.sent = mapping_new_shared(sent);
        if (load.pids == NULL || load.pages == NULL || load.sent == NULL)
                failure_set(&report->failure, 0,
                            "Cannot allocate memory for %" PRIu64 " connection%s",
                            options->connections, quantity_plural(options->connections));
        else
                load.first = path_open(&options->target, &options->connection, &report->path,
                                       &report->failure);
        if (load.first >= 0) {
                load.peer = report->path.endpoint;
                load.setup = clock_now() - report->path.start;
                load_measure(&load);
        }
        inquiry_set(NULL, NULL);
        mapping_free(load.sent, sent);
        mapping_free(load.pages, pages);
        free(load.pids);
}
