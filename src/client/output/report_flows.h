/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/output/json.h"
#include "client/output/report.h"

enum {
        /* Room for report_flows_verdict(). */
        FLOWS_VERDICT_SIZE = 256,
};

/*
 * flow_result_count: Returns the packets of @flow to judge: its segments. Those that this side or
 * the peer sent again are lost, and one for each failed round trip.
 */
FlowCount flow_result_count(const FlowResult *flow);

/*
 * report_flows_verdict: Writes the judgement in @report to @text, as one sentence.
 */
void report_flows_verdict(const Report *report, char text[static FLOWS_VERDICT_SIZE]);

/*
 * report_flows_print: Prints a row for each flow to standard output.
 */
void report_flows_print(const Report *report);

/*
 * report_flows_json: Writes the flows and the judgement as the member "flows"; null without flows.
 */
void report_flows_json(Json *json, const Report *report);
