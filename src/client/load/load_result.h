/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load/load.h"

/* load_result_set: Adds the counts of the @workers pages at @pages to @report. Sets its failure for
 * errors, unless it has one. */
void load_result_set(const ClientOptions *options, const LoadPage *pages, unsigned workers,
                     Report *report);
