/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/*
 * mtu_run: Searches for the largest datagram that comes back from the service, as @options say, in
 * one packet each way, and sets @report to it. Fails without an answer to the smallest one, and if
 * larger ones vanish without an error.
 */
void mtu_run(const ClientOptions *options, Report *report);
