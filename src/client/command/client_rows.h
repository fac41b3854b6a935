/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "lib/option.h"

/* The client's options: a row for each, which sets a member of ClientOptions. The tags are bits of
 * the modes, 1 << ClientAction, that have the option; 0 for all. */
extern const OptionRow client_rows[];
extern const size_t client_rows_count;

/* The options of the monitoring plugin. */
extern const OptionRow monitor_rows[];
extern const size_t monitor_rows_count;

/*
 * client_rows_take_port: Sets the port to @text; @row may be NULL.
 *
 * Returns 0, or -EINVAL and sets parse->failure when @text is no port or the port is set already.
 */
int client_rows_take_port(OptionParse *parse, const OptionRow *row, const char *text);
