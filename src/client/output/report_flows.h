/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/output/json.h"
#include "client/output/report.h"

enum {
        /* Room for report_flows_verdict(). */
        FLOWS_VERDICT_SIZE = 256,
};

/*
 * report_flows_verdict: Writes the judgement in @report to @text, as one sentence.
 *
 * report_flows_print: Prints a row for each flow to standard output.
 *
 * report_flows_json: Writes the flows and the judgement as the member "flows"; null without flows.
 */
void report_flows_verdict(const Report *report, char text[static FLOWS_VERDICT_SIZE]);
void report_flows_print(const Report *report, const ClientOptions *options);
void report_flows_json(Json *json, const Report *report);
