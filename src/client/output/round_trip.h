/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/command/client_options.h"
#include "client/output/report.h"

/* The lines of a ping, one for each round trip, unless the options forbid them. */

/* round_trip_print: Prints that the answer to round trip @sequence came after @time nanoseconds;
 * @note, "" for none, follows. Returns whether standard output took it: a ping without a reader
 * ends. */
bool round_trip_print(const ClientOptions *options, const Report *report, uint64_t sequence,
                      uint64_t time, const char *note);

/* round_trip_print_error: Prints that round trip @sequence, 0 for none, failed, because of @why.
 * Returns whether standard output took it. */
bool round_trip_print_error(const ClientOptions *options, const Report *report, uint64_t sequence,
                            const char *why);
