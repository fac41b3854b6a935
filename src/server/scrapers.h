/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/metrics.h"
#include "start/listeners.h"

typedef struct Scrapers Scrapers;

/*
 * The clients of metrics sockets: a handler for each, apart from connections and their limits.
 *
 * After scrapers_new() nothing here allocates memory.
 */

enum {
        /* Clients at once; others wait in the backlog. */
        SCRAPERS_MOST = 16,
};

/*
 * scrapers_new: Begins without clients, and notes the time of the start.
 *
 * Returns 0 and sets @ret_scrapers, which the caller frees with scrapers_free(), which leaves
 * handlers alone; or a negative errno.
 */
int scrapers_new(Scrapers **ret_scrapers);
Scrapers *scrapers_free(Scrapers *scrapers);

/*
 * scrapers_can_accept: Returns whether there is room for a client, and no pause after a failure.
 *
 * scrapers_accept: Accepts a client that waits at @listener. Sets the start in @metrics, and forks
 * a handler that answers with them and has HANDLER_PATIENCE. After accept4(2) or fork(2) failed,
 * pauses for a second. Returns in the calling process only; handlers exit.
 */
bool scrapers_can_accept(const Scrapers *scrapers);
void scrapers_accept(Scrapers *scrapers, const Listener *listener, Metrics *metrics, uint64_t now);

/*
 * scrapers_reap: Takes note that the child @pid has ended, if it is a handler of a client.
 *
 * scrapers_kill: Kills the handlers.
 */
void scrapers_reap(Scrapers *scrapers, pid_t pid);
void scrapers_kill(Scrapers *scrapers);

/* scrapers_tick: Ends a pause that is over at @now, and kills handlers whose time is.
 * scrapers_deadline: Returns when that is next, or CLOCK_NEVER. scrapers_live: Returns how many
 * clients there are. */
void scrapers_tick(Scrapers *scrapers, uint64_t now);
uint64_t scrapers_deadline(const Scrapers *scrapers);
uint32_t scrapers_live(const Scrapers *scrapers);
