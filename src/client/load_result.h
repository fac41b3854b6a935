/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/load.h"

/*
 * load_result_set: adds the counts of the @workers pages at @pages to @report, and sets its failure
 * where there were errors and it has none.
 */
void load_result_set(const ClientOptions *options, const LoadPage *pages, unsigned workers,
                     Report *report);
