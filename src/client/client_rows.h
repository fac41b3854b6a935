/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/option.h"

/* The client's options: a row for each, whose values go into a ClientOptions. */
extern const OptionRow client_rows[];
extern const size_t client_rows_count;

/* The same for the monitoring plugin. */
extern const OptionRow monitor_rows[];
extern const size_t monitor_rows_count;

/*
 * client_rows_take_port: takes @text as the port; @row may be NULL.
 */
int client_rows_take_port(OptionParse *parse, const OptionRow *row, const char *text);
