/* SPDX-License-Identifier: MIT */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/command/client_options.h"
#include "client/content/pattern.h"
#include "client/content/payload.h"
#include "client/network/flow.h"
#include "client/output/report.h"
#include "client/run/lane.h"

/* The flows of a run: connections, or datagrams. The caller provides the memory, and each flow's
 * port in @report. */
typedef struct Turns {
        const ClientOptions *options;
        Report *report;
        LaneSettings settings;
        Pattern pattern;
        size_t count;
        /* One of both: connections with their buffers, or datagrams and their contents. */
        Lane *list;
        char *buffers;
        Flow *datagrams;
        Payload *payload;
        uint64_t *due;         /* the instants of the flows' next round trips */
        uint64_t end;          /* the end of the run; CLOCK_NEVER for none */
        struct pollfd *polled; /* the interrupt, and a descriptor of each flow */
} Turns;

/*
 * turns_open: Prepares flow @i; datagrams get their socket.
 *
 * Returns 0, or a negative errno of connection_begin() or flow_init().
 */
int turns_open(Turns *turns, size_t i);

/*
 * turns_work: Begins and advances what can be, without waiting. Sets what @polled waits for, and
 * @ret_wake to the next instant at which something is due.
 *
 * Returns whether there is more to do.
 */
bool turns_work(Turns *turns, uint64_t *ret_wake);

/*
 * turns_look: Takes what came before the end of the run, and is not read yet. This process may have
 * had no processor.
 *
 * turns_failed: Returns the number of failed round trips and unrecognized answers so far.
 *
 * turns_close: Closes all flows, which turns_open() has prepared without an error, and adds their
 * counts to the report. What is under way counts as lost.
 */
void turns_look(Turns *turns);
uint64_t turns_failed(const Turns *turns);
void turns_close(Turns *turns);
