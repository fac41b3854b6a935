/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What --help shows.
 */
extern const char client_help[];

/*
 * The same of the monitoring plugin, check_mpecho.
 */
extern const char monitor_help[];
