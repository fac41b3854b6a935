/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "report/metrics.h"

/* The metrics, written before the fork: in memory that the handler inherits for reading. */
typedef struct ScrapeTexts {
        size_t sizes[METRICS_FORMATS];
        char texts[METRICS_FORMATS][METRICS_SIZE];
} ScrapeTexts;

/*
 * scrape_run: Reads what the client at @fd asks for, and answers with one of @texts:
 *
 * - A request that begins with "GET ", up to its empty line, gets a response of HTTP/1.0 (RFC
 *   1945): in OpenMetrics when the Accept field names that. "HEAD " gets the head alone.
 * - Any other beginning, its end, or half a second without a byte gets the text format as it is.
 *
 * Then sends the end of the stream, waits until the client has acknowledged everything, and up to 3
 * seconds for the client's end. The caller bounds the time in all and closes @fd, which resets
 * a connection whose client has not acknowledged everything.
 */
void scrape_run(int fd, const ScrapeTexts *texts);
