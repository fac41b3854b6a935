/* SPDX-License-Identifier: MIT */
#pragma once

#include "lib/option.h"

/*
 * client_target_take: Sets the target of the client's options to @words, HOST and maybe PORT; NULL
 * ends them. The options of @parse are read already.
 *
 * Returns 0, or -EINVAL and sets parse->failure.
 */
int client_target_take(OptionParse *parse, char *const *words);
