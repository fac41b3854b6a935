/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "client/client_options.h"
#include "client/report.h"

/*
 * report_print_json: writes @report to @file as one line with one JSON object, which
 * packaging/mpecho-client.schema.json describes. Errors are left to be found in @file.
 */
void report_print_json(const Report *report, const ClientOptions *options, FILE *file);
