/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "client/command/client_options.h"
#include "client/output/report.h"

/* report_print_json: Writes @report to @file as one line with one JSON object in the form of
 * packaging/mpecho-client.schema.json. The caller checks @file for errors. */
void report_print_json(const Report *report, const ClientOptions *options, FILE *file);
