/* SPDX-License-Identifier: MIT */
#pragma once

/* The text of mpecho-client --help. */
extern const char client_help[];

/* The text of check_mpecho --help. */
extern const char monitor_help[];
