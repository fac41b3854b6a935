/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Sizes and times as people write and read them. */

enum {
        /* Room for what quantity_format_…() writes. */
        QUANTITY_TEXT_SIZE = 32,
};

/*
 * quantity_parse_size: reads @text as a number of bytes between @minimum and @maximum, both
 * included: "65536", "64K", "1.5M", "2GiB". K, M, G, T and P, in either case and with or without B
 * or iB behind them, are 2^10 to 2^50.
 *
 * Returns 0 and sets @ret_size; -EINVAL when @text is no such number, -ERANGE when it is one
 * outside the range.
 */
int quantity_parse_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_size);

/*
 * quantity_parse_time: reads @text as a time between @minimum and @maximum nanoseconds, both
 * included: "10", "0.25", "250ms", "2m". The unit is us, ms, s, m or h; a number alone is a number
 * of @unit nanoseconds.
 *
 * Returns 0 and sets @ret_time, in nanoseconds; errors are those of quantity_parse_size().
 */
int quantity_parse_time(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_time);

/*
 * quantity_parse_rate: reads @text as a number of @unit parts each, between @minimum and @maximum
 * parts, both included: "500", "0.5", "10k", "1.5M", where k and M are 10^3 and 10^6.
 *
 * Returns 0 and sets @ret_rate; errors are those of quantity_parse_size().
 */
int quantity_parse_rate(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_rate);

/*
 * quantity_parse_bandwidth: reads @text as a number of bytes per second between @minimum and
 * @maximum, both included, as quantity_parse_size() does, or in kbit, Mbit or Gbit, which are 10^3,
 * 10^6 and 10^9 bits.
 *
 * Returns 0 and sets @ret_bandwidth; errors are those of quantity_parse_size().
 */
int quantity_parse_bandwidth(const char *text, uint64_t minimum, uint64_t maximum,
                             uint64_t *ret_bandwidth);

/*
 * quantity_format_bytes: writes @bytes to @text with the unit that leaves 1 to 4 digits before the
 * point, as "64.0 MiB"; up to 1023 bytes as "512 bytes". Returns @text.
 */
const char *quantity_format_bytes(double bytes, char text[static QUANTITY_TEXT_SIZE]);

/*
 * quantity_plural: returns the ending of a noun behind @number: "s", or "" behind 1.
 */
const char *quantity_plural(uint64_t number);

/*
 * quantity_format_time: writes @time nanoseconds to @text as seconds with as many digits as mean
 * something, without trailing zeros: "10", "0.25". Returns @text.
 */
const char *quantity_format_time(uint64_t time, char text[static QUANTITY_TEXT_SIZE]);

/*
 * quantity_format_duration: writes @time nanoseconds to @text with three significant digits and the
 * unit that fits, as "5.12 us", "31.8 ms" or "120 s"; below a microsecond as "512 ns". Returns
 * @text.
 */
const char *quantity_format_duration(double time, char text[static QUANTITY_TEXT_SIZE]);
