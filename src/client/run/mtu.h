/* SPDX-License-Identifier: MIT */
#pragma once

#include "client/command/client_options.h"
#include "client/output/report.h"

/* mtu_run: Searches for the largest datagram that comes back from the service, as @options say, in
 * one packet each way, and sets @report to it. Fails without an intact answer to the smallest one.
 * Fails as well if larger ones vanish without an error or are rejected for another reason than
 * their size, if an answer comes back changed or is unrecognized, and if the path answers
 * irregularly. */
void mtu_run(const ClientOptions *options, Report *report);
