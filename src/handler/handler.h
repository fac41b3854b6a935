/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "handler/datagram.h"
#include "handler/gate.h"
#include "handler/scrape.h"
#include "lib/address.h"
#include "lib/clock.h"
#include "report/end_reason.h"
#include "restart/handover.h"
#include "restart/ledger.h"

enum {
        /* The exit code of a handler that has handed its connection over; smaller ones are an
         * EndReason. */
        HANDLER_HANDED_OVER = END_COUNT,
        /* The exit code of a handler whose announced peer the master has refused. */
        HANDLER_DECLINED,
        /* The exit code of a handler without a valid PROXY header is this plus its ProxyError. */
        HANDLER_HEADER,
        /* Room for the title of a handler of any peer. */
        HANDLER_TITLE_SIZE = sizeof "mpecho: " + ADDRESS_TEXT_SIZE,
        /* How many signals handler_stops has. */
        HANDLER_STOPS = 3,
};

/* The signals that stop handlers. */
extern const int handler_stops[HANDLER_STOPS];

/* How long a handler may read a PROXY header and announce the peer, or serve a client of the
 * metrics: then the master kills it. By itself, each handler needs half of that at most. */
#define HANDLER_PATIENCE (30 * CLOCK_SECOND)

/* The process that serves one connection, one datagram socket or one client of the metrics, from
 * fork(2) to _exit(2): all that it needs, by value. */
typedef struct Handler {
        int connection; /* or a datagram socket */
        union {
                int unsent; /* a memfd with bytes to write first (unsent.h), or -1 */
                int news;   /* of a datagram socket: an eventfd for news to the master, or -1 */
        };
        uint64_t idle_timeout;          /* 0 for never */
        char title[HANDLER_TITLE_SIZE]; /* "mpecho: 192.0.2.7:51234" */
        pid_t *noted;                   /* where the kernel notes the process ID, or NULL */
        LedgerEntry *ledger;            /* where it reports bytes and the reason of the end */
        LedgerExits *exits;             /* announces the exit; NULL for nowhere */
        HandoverAddress handover;       /* of the master; with length 0, there is none */
        bool silent;                    /* a PROXY header comes first, @unsent its beginning */
        const Gate *gate;               /* behind which it waits first, or NULL */

        /* Of a datagram socket alone, which uses nothing else but the title. */
        DatagramCounts *datagrams; /* what it counts; NULL for a connection */
        uint32_t max_datagrams_per_source;
        pid_t master; /* without which it ends */

        /* Of a client of the metrics alone, which uses nothing else but the title. */
        const ScrapeTexts *scrape; /* what it gets; NULL for all others */
} Handler;

/*
 * handler_init: Installs the signal dispositions that handlers inherit, and prepares cheap forks.
 * Keeps other processes out of the memory of this process and its children (PR_SET_DUMPABLE,
 * prctl(2)), and confines them (confine.h). @keeper: a child that no handler may end, or 0. Call
 * once, before the first fork or before handler_serve(). A master blocks these signals, so it is
 * not affected itself.
 *
 * On SIGTERM and SIGINT a handler finishes writing what it has read, and hands its connection over
 * or ends it; further signals change nothing. The same holds for SIGABRT, which systemd sends to
 * all processes of a service whose watchdog runs out; the master then exits with 128 and the number
 * of the signal. Handlers ignore SIGHUP, SIGPIPE and SIGUSR1.
 */
void handler_init(pid_t keeper);

/*
 * handler_start: Forks a handler for a connection, a datagram socket or a client of the metrics. It
 * keeps the descriptors in @handler, which it moves, and the standard three, and closes all others.
 * Changes @handler in the child alone. The caller is the only thread of its process, has called
 * handler_init(), and blocks the signals that it names.
 *
 * Returns the handler's process ID, in the parent only; or a negative errno of fork(2).
 */
pid_t handler_start(Handler *handler);

/*
 * handler_serve: Serves a connection in this process until it ends. Descriptor 0 must be /dev/null,
 * and handler_init() must have been called. Unblocks all signals and sets this process's title.
 *
 * A silent connection first needs a PROXY header within 5 seconds, and the master's consent to the
 * peer that it announces.
 *
 * Returns why the connection ended, an EndReason, or one of the exit codes above. The connection
 * stays open until the process exits.
 */
int handler_serve(const Handler *handler);
