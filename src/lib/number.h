/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Numbers as people write them on command lines: decimal digits and nothing else. */

/*
 * number_parse: reads @text as a decimal number between @minimum and @maximum, both included.
 *
 * No sign, no blank, no prefix, no suffix is taken; leading zeros are.
 *
 * Returns 0 and sets @ret_number; -EINVAL when @text is not a number, -ERANGE when it is one
 * outside the range.
 */
int number_parse(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_number);
