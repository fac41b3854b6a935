/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * number_parse: Parses @text, decimal digits alone, as a number from @minimum to @maximum. Rejects
 * signs, blanks, prefixes and suffixes; accepts leading zeros.
 *
 * Returns 0 and sets @ret_number; -EINVAL if @text is not a number; -ERANGE if the number is
 * outside of the range.
 */
int number_parse(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_number);
