/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>

#include "client/client_options.h"
#include "client/connection.h"
#include "client/foreign.h"
#include "client/histogram.h"
#include "client/kernel.h"
#include "client/phases.h"
#include "client/report.h"

typedef struct LoadPage LoadPage;
typedef struct LoadPlan LoadPlan;
typedef struct LoadSent LoadSent;

/*
 * What the sender of a stream has sent on one connection, and the errno that ended it, 0 for none:
 * an error of a connection is seen by one process only.
 */
struct LoadSent {
        atomic_uint_fast64_t bytes;
        atomic_int error;
};

/*
 * What the processes of a load share, one page for each worker, in memory of zeros. A worker is the
 * only one to write to its page, but for @stop and @start.
 */
struct LoadPage {
        /* Whether the worker must end at once. */
        atomic_bool stop;
        /* Requests or connections that were answered, whichever are counted. */
        atomic_uint_fast64_t answered;
        /* Those that were due before the end and have not been begun. */
        atomic_uint_fast64_t overdue;
        atomic_uint_fast64_t bytes_sent;
        atomic_uint_fast64_t bytes_received;
        /* Connections that replaced another one. */
        atomic_uint_fast64_t reconnects;
        atomic_uint_fast64_t errors[FAILURE_KINDS];
        /* The last errno of a FAILURE_LOCAL; and how many FAILURE_TIMEOUTs are connections of which
         * only the end did not come in time. */
        atomic_int local_error;
        atomic_uint_fast64_t unclosed;
        /* The instant at which the load begins, written by the parent; 0 for never. */
        atomic_uint_fast64_t start;
        /* Nanoseconds from there to the end of the work, and the counts at the end of the duration.
         */
        atomic_uint_fast64_t elapsed;
        Interim window;
        /* Of a stream worker: what was sent on each connection, and whether that is all. */
        LoadSent *sent;
        atomic_bool sent_all;
        Phases phases;
        Kernel kernel;
        /* Half a sentence about a service that is none of echo; empty for none. */
        char foreign[FOREIGN_TEXT_SIZE];
        Histogram latency;
};

/*
 * What one worker has to do.
 */
struct LoadPlan {
        const ClientOptions *options;
        const Endpoint *peer;
        LoadPage *page;
        /* The worker's number, from 0, and how many there are. */
        unsigned index;
        unsigned workers;
        /* How many connections are its own, and one that is open already, or -1, with the
         * nanoseconds that its setup took. */
        size_t connections;
        int first;
        uint64_t setup;
        /* The pipes of crew_start(). */
        int ready;
        int go;
};

/*
 * load_run: loads the service from one process for each core, as @options say, and counts in
 * @report what came of it. SIGCHLD must have its default disposition. No process is left.
 */
void load_run(const ClientOptions *options, Report *report);
