/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/journal.h"
#include "report/metrics.h"
#include "start/listeners.h"
#include "start/options.h"

typedef struct Datagrams Datagrams;

/*
 * The datagram sockets of a master, each with one handler that serves it for as long as the service
 * runs. The master reads no datagram.
 *
 * After datagrams_new() nothing here allocates memory.
 */

/*
 * datagrams_new: Begins without handlers; datagrams_tick() starts them. @options, @listeners and
 * @journal are used until datagrams_free().
 *
 * Returns 0 and sets @ret_datagrams, which the caller frees with datagrams_free(), which leaves
 * handlers alone; or a negative errno.
 */
int datagrams_new(const Options *options, const Listeners *listeners, Journal *journal,
                  Datagrams **ret_datagrams);
Datagrams *datagrams_free(Datagrams *datagrams);

/*
 * datagrams_fd: Returns the descriptor that becomes readable when datagrams come after a pause; -1
 * without datagram sockets.
 *
 * datagrams_are_quiet: Returns whether to poll it: false in the second after it was readable, so
 * that no handler can keep the master busy. The service is idle only while this is true.
 *
 * datagrams_take_news: Begins that second. Call when the descriptor is readable.
 */
int datagrams_fd(const Datagrams *datagrams);
bool datagrams_are_quiet(const Datagrams *datagrams);
void datagrams_take_news(Datagrams *datagrams, uint64_t now);

/* datagrams_reap: Takes note that the child @pid has ended with @status (waitpid(2)), if it is a
 * handler of these sockets. The next one starts after 10 ms, doubling up to 1 s while handlers do
 * not live for 10 seconds. */
void datagrams_reap(Datagrams *datagrams, pid_t pid, int status, uint64_t now);

/*
 * datagrams_stop: Asks the handlers to finish and starts no more. datagrams_kill: Kills them.
 *
 * datagrams_tick: Starts the handlers that are due at @now, and writes a due record with the counts
 * of the last minute. datagrams_deadline: Returns when that is next, or CLOCK_NEVER.
 */
void datagrams_stop(Datagrams *datagrams);
void datagrams_kill(Datagrams *datagrams);
void datagrams_tick(Datagrams *datagrams, uint64_t now);
uint64_t datagrams_deadline(const Datagrams *datagrams);

/*
 * datagrams_live: Returns how many handlers there are.
 *
 * datagrams_add_totals: Adds the counts of all sockets since the start to @record.
 *
 * datagrams_count: Adds to @counts the datagrams since the last call.
 *
 * datagrams_report: Writes a record of each socket.
 */
uint32_t datagrams_live(const Datagrams *datagrams);
void datagrams_add_totals(const Datagrams *datagrams, Record *record);
void datagrams_count(Datagrams *datagrams, MetricsCounts *counts);
void datagrams_report(Datagrams *datagrams, uint64_t now);
