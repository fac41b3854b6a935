/* SPDX-License-Identifier: MIT */
/*
 * Serves the metrics: accept a client, write all metrics to a buffer, fork a handler that inherits
 * it, and reap that later. The master reads nothing of a client and waits for none.
 *
 * Monitoring must not disturb what it watches. So these clients have a limit of their own, a small
 * number and a short life, and need no room among the connections: at --max-connections, a scrape
 * still shows that. They are neither logged nor counted, and the master kills their handlers when
 * it stops: the next run answers a client that asks again. It also kills a handler that a client
 * keeps from ending.
 *
 * Each turn of the master accepts one client of each socket, so that echoes come in between.
 * Handlers of connections do not inherit the buffer.
 */
#include "server/scrapers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "handler/handler.h"
#include "lib/clock.h"
#include "lib/discard.h"
#include "lib/mapping.h"
#include "limits/backoff.h"

/* How long to wait when the machine has run out of something. */
#define PAUSE CLOCK_SECOND

enum {
        /* Clients in a row that are gone when they are accepted, before a pause. */
        GONE_MOST = 16,
};

/* A client's handler, and when to kill it. */
typedef struct {
        pid_t pid;
        uint64_t deadline; /* CLOCK_NEVER once it is killed */
} ScraperHandler;

struct Scrapers {
        uint64_t started;     /* in seconds since 1970 */
        uint64_t pause_until; /* CLOCK_NEVER without a pause */
        uint32_t gone;        /* clients in a row */
        ScrapeTexts *texts;
        uint32_t n;
        ScraperHandler handlers[SCRAPERS_MOST];
};

int scrapers_new(Scrapers **ret_scrapers) {
        Scrapers *scrapers;

        scrapers = mapping_new_unforked(sizeof *scrapers);
        if (scrapers == NULL)
                return -errno;
        scrapers->started = (uint64_t)time(NULL);
        scrapers->pause_until = CLOCK_NEVER;
        scrapers->texts = mapping_new_unforked(sizeof *scrapers->texts);
        if (scrapers->texts == NULL) {
                scrapers_free(scrapers);
                return -ENOMEM;
        }
        *ret_scrapers = scrapers;
        return 0;
}

Scrapers *scrapers_free(Scrapers *scrapers) {
        if (scrapers == NULL)
                return NULL;
        mapping_free(scrapers->texts, sizeof *scrapers->texts);
        return mapping_free(scrapers, sizeof *scrapers);
}

bool scrapers_can_accept(const Scrapers *scrapers) {
        return scrapers->n < SCRAPERS_MOST && scrapers->pause_until == CLOCK_NEVER;
}

/* Returns the handler of the client @fd, or a negative errno of fork(2). */
static pid_t scrapers_fork(Scrapers *scrapers, int fd, const Gate *gate) {
        ScrapeTexts *texts = scrapers->texts;
        Handler handler = { .connection = fd, .unsent = -1, .scrape = texts, .gate = gate };
        pid_t pid;

        snprintf(handler.title, sizeof handler.title, "mpecho: metrics");
        (void)madvise(texts, sizeof *texts, MADV_DOFORK);
        pid = handler_start(&handler);
        (void)madvise(texts, sizeof *texts, MADV_DONTFORK);
        return pid;
}

/* Forks the handler of the client @fd and closes that. Returns the handler, or a negative errno:
 * then @fd stays the caller's. */
static pid_t scrapers_start(Scrapers *scrapers, int fd, bool local) {
        Gate gate;
        pid_t pid;
        int r;

        r = gate_init(&gate, local);
        if (r < 0)
                return r;
        pid = scrapers_fork(scrapers, fd, &gate);
        gate_open(&gate, pid > 0 ? fd : -1);
        return pid;
}

/* Begins a pause when the machine lacks what accept4(2) needs. A client that is gone means nothing
 * for the next one, but a failing network fails for all. */
static void scrapers_accept_failed(Scrapers *scrapers, int error, uint64_t now) {
        if (error == EAGAIN || (backoff_limit(error) == NULL && ++scrapers->gone < GONE_MOST))
                return;
        scrapers->gone = 0;
        scrapers->pause_until = now + PAUSE;
}

void scrapers_accept(Scrapers *scrapers, const Listener *listener, Metrics *metrics, uint64_t now) {
        ScrapeTexts *texts = scrapers->texts;
        Address peer;
        pid_t pid;
        int fd;

        fd = listener_accept(listener, &peer);
        if (fd < 0) {
                scrapers_accept_failed(scrapers, -fd, now);
                return;
        }
        scrapers->gone = 0;

        metrics->started = scrapers->started;
        for (int format = 0; format < METRICS_FORMATS; format++)
                texts->sizes[format] = metrics_format(metrics, (MetricsFormat)format,
                                                      texts->texts[format]);
        pid = scrapers_start(scrapers, fd, peer.family == AF_UNIX);
        if (pid < 0) {
                scrapers->pause_until = now + PAUSE;
                discard_client(fd);
                return;
        }
        scrapers->handlers[scrapers->n++] = (ScraperHandler){ pid, now + HANDLER_PATIENCE };
}

static ScraperHandler *scrapers_find(Scrapers *scrapers, pid_t pid) {
        for (uint32_t i = 0; i < scrapers->n; i++)
                if (scrapers->handlers[i].pid == pid)
                        return &scrapers->handlers[i];
        return NULL;
}

void scrapers_reap(Scrapers *scrapers, pid_t pid) {
        ScraperHandler *place = scrapers_find(scrapers, pid);

        if (place != NULL)
                *place = scrapers->handlers[--scrapers->n];
}

/* Kills the handlers with a @deadline or an earlier one. */
static void scrapers_kill_due(Scrapers *scrapers, uint64_t deadline) {
        for (uint32_t i = 0; i < scrapers->n; i++) {
                if (scrapers->handlers[i].deadline > deadline)
                        continue;
                (void)kill(scrapers->handlers[i].pid, SIGKILL);
                scrapers->handlers[i].deadline = CLOCK_NEVER;
        }
}

void scrapers_kill(Scrapers *scrapers) {
        scrapers_kill_due(scrapers, CLOCK_NEVER);
}

void scrapers_tick(Scrapers *scrapers, uint64_t now) {
        if (scrapers->pause_until <= now)
                scrapers->pause_until = CLOCK_NEVER;
        scrapers_kill_due(scrapers, now);
}

uint64_t scrapers_deadline(const Scrapers *scrapers) {
        uint64_t deadline = scrapers->pause_until;

        for (uint32_t i = 0; i < scrapers->n; i++)
                deadline = clock_earlier(deadline, scrapers->handlers[i].deadline);
        return deadline;
}

uint32_t scrapers_live(const Scrapers *scrapers) {
        return scrapers->n;
}
