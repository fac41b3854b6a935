/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Sizes and times as people write and read them. */

enum {
        /* Room for what quantity_format_…() writes. */
        QUANTITY_TEXT_SIZE = 32,
};

/*
 * quantity_parse_size: Parses @text as a number of bytes from @minimum to @maximum: "65536", "64K",
 * "1.5M", "2GiB". The units K, M, G, T and P are 2^10 to 2^50, in either case, and B or iB may
 * follow.
 *
 * Returns 0 and sets @ret_size; -EINVAL when @text is not a number of this form, -ERANGE when it is
 * out of range.
 */
int quantity_parse_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_size);

/*
 * quantity_parse_time: Parses @text as a time from @minimum to @maximum nanoseconds: "10", "0.25",
 * "250ms", "2m". The units are us, ms, s, m and h; without one, @unit nanoseconds.
 *
 * Returns 0 and sets @ret_time, in nanoseconds; errors are those of quantity_parse_size().
 */
int quantity_parse_time(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_time);

/*
 * quantity_parse_rate: Parses @text as a multiple of @unit, from @minimum to @maximum: "500",
 * "0.5", "10k", "1.5M". k and M are 10^3 and 10^6.
 *
 * Returns 0 and sets @ret_rate; errors are those of quantity_parse_size().
 */
int quantity_parse_rate(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_rate);

/*
 * quantity_parse_bandwidth: Parses @text as bytes per second from @minimum to @maximum, in the
 * units of quantity_parse_size(), or in kbit, Mbit or Gbit, which are 10^3, 10^6 and 10^9 bits.
 *
 * Returns 0 and sets @ret_bandwidth; errors are those of quantity_parse_size().
 */
int quantity_parse_bandwidth(const char *text, uint64_t minimum, uint64_t maximum,
                             uint64_t *ret_bandwidth);

/*
 * quantity_format_bytes: Writes @bytes to @text in a unit with 1 to 4 digits before the point, as
 * "64.0 MiB"; below 1024 as "512 bytes". Returns @text.
 *
 * quantity_plural: Returns the ending of a noun after @number: "" after 1, else "s".
 *
 * quantity_format_time: Writes @time nanoseconds to @text as seconds, with up to nine significant
 * digits and no trailing zeros: "10", "0.25". Returns @text.
 *
 * quantity_format_duration: Writes @time nanoseconds to @text with three significant digits and a
 * unit, as "5.12 us", "31.8 ms" or "120 s"; below a microsecond as "512 ns". Returns @text.
 */
const char *quantity_format_bytes(double bytes, char text[static QUANTITY_TEXT_SIZE]);
const char *quantity_plural(uint64_t number);
const char *quantity_format_time(uint64_t time, char text[static QUANTITY_TEXT_SIZE]);
const char *quantity_format_duration(double time, char text[static QUANTITY_TEXT_SIZE]);

/* quantity_format_percent: Writes @percent, from 0 to 100, to @text with @digits significant
 * digits, or as many more as distinguish it from 100. Returns @text. */
const char *quantity_format_percent(double percent, int digits,
                                    char text[static QUANTITY_TEXT_SIZE]);
