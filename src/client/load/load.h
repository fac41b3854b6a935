/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>

#include "client/command/client_options.h"
#include "client/content/foreign.h"
#include "client/network/kernel.h"
#include "client/output/report.h"
#include "client/value/histogram.h"
#include "client/value/phases.h"

/* The bytes sent on one connection of a stream, these and those of a sendmsg(2) under way, which
 * the kernel may have sent already, and the errno that ended it, 0 for none: only one process sees
 * the error of a connection. */
typedef struct LoadSent {
        atomic_uint_fast64_t bytes;
        atomic_uint_fast64_t begun;
        atomic_int error;
} LoadSent;

/* Memory that the processes of a load share, zeroed, one page for each worker. Only the worker
 * writes to its page; the parent writes to @start and @sent, and both write to @stop. The sender of
 * a stream is a part of its worker. */
typedef struct LoadPage {
        atomic_bool stop; /* the worker must end at once */
        /* Answered requests or connections, by the kind of the load. */
        atomic_uint_fast64_t answered;
        /* Requests that were due before the end and did not begin. */
        atomic_uint_fast64_t overdue;
        atomic_uint_fast64_t bytes_sent;
        atomic_uint_fast64_t bytes_received;
        /* Connections that replaced another one. */
        atomic_uint_fast64_t reconnects;
        atomic_uint_fast64_t errors[FAILURE_KINDS];
        /* The last errno of a FAILURE_LOCAL. Of the FAILURE_TIMEOUTs, the connections that lack
         * only their end. */
        atomic_int local_error;
        atomic_uint_fast64_t unclosed;
        /* The instant at which the load begins, written by the parent; 0 for never. */
        atomic_uint_fast64_t start;
        /* Nanoseconds from the start to the end of the work, and the counts at the end of the
         * duration. */
        atomic_uint_fast64_t elapsed;
        Interim window;
        /* Of a stream worker: the bytes sent on each connection; set when the sender has ended; and
         * the signal that ended it too early, 0 for none. */
        LoadSent *sent;
        atomic_bool sent_all;
        atomic_int sender_signal;
        Phases phases;
        Kernel kernel;
        /* Of datagrams, at the end of the work: see Report. */
        VolleyCounts counts;
        Rejections rejections;
        uint64_t overflow;
        /* A phrase about another service than echo; empty for none. */
        char foreign[FOREIGN_TEXT_SIZE];
        Histogram latency;
} LoadPage;

/* The task of one worker. */
typedef struct LoadPlan {
        const ClientOptions *options;
        const Endpoint *peer;
        LoadPage *page;
        /* The worker's number, from 0, and how many there are. */
        unsigned index;
        unsigned workers;
        /* The number of connections. One that is already open, or -1, and the nanoseconds of its
         * setup. */
        size_t connections;
        int first;
        uint64_t setup;
        /* The pipes of crew_start(). */
        int ready;
        int go;
} LoadPlan;

/* load_run: Loads the service from one process for each core, as @options say, and sets @report to
 * the result. SIGCHLD must have its default disposition. Leaves no process. */
void load_run(const ClientOptions *options, Report *report);
