/* SPDX-License-Identifier: MIT */
/*
 * Parses and applies thresholds in the form of the monitoring plugins' guidelines,
 * https://www.monitoring-plugins.org/doc/guidelines.html.
 *
 * "10" alerts outside 0 to 10, "10:" below 10, "~:10" above 10, "10:20" outside, and "@10:20"
 * inside; both ends belong to the range. The text is kept, because performance data repeat it.
 *
 * An empty range never alerts. Numbers are decimal: a text that the guidelines do not define must
 * be an error, not a threshold that nobody meant.
 */
#include "client/value/range.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads all of @text as a decimal number; strtod(3) alone would take "0x1p3" and "nan" as well. */
static int range_parse_number(const char *text, double *ret_number) {
        const char *digits = text + (text[0] == '-');
        char *end;

        if (digits[0] == '\0' || digits[strspn(digits, "0123456789.")] != '\0')
                return -EINVAL;
        *ret_number = strtod(text, &end);
        return *end == '\0' ? 0 : -EINVAL;
}

int range_parse(const char *text, size_t length, Range *ret_range) {
        Range range = { .start = 0, .end = INFINITY };
        char copy[RANGE_TEXT_SIZE], *start = copy, *end;
        int r = 0;

        if (length == 0 || length >= sizeof copy)
                return -EINVAL;
        memcpy(copy, text, length);
        copy[length] = '\0';
        memcpy(range.text, copy, length + 1);
        range.inside = copy[0] == '@';
        start += range.inside ? 1 : 0;

        if (*start == '\0')
                return -EINVAL;
        end = strchr(start, ':');
        if (end != NULL)
                *end++ = '\0';
        if (end == NULL)
                end = start;
        else if (*start == '\0')
                range.start = 0;
        else if (strcmp(start, "~") == 0)
                range.start = -INFINITY;
        else
                r = range_parse_number(start, &range.start);
        if (r == 0 && *end != '\0')
                r = range_parse_number(end, &range.end);
        if (r < 0 || range.start > range.end)
                return -EINVAL;
        *ret_range = range;
        return 0;
}

bool range_alerts(const Range *range, double value) {
        const bool contains = value >= range->start && value <= range->end;

        return range->text[0] != '\0' && contains == range->inside;
}
