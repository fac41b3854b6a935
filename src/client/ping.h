/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/client_options.h"
#include "client/report.h"

/*
 * ping_run: measures round trips one after the other, on one connection or each on its own, and
 * counts them in @report; prints a line for each, if @options do not say otherwise. A connection
 * that fails is replaced at the next turn.
 */
void ping_run(const ClientOptions *options, Report *report);
