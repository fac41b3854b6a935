/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct Range Range;

enum {
        RANGE_TEXT_SIZE = 40,
};

/*
 * A range of the monitoring plugins' guidelines: values outside it, or inside it after an "@", are
 * a reason for an alert.
 */
struct Range {
        /* As it was written; empty for none. */
        char text[RANGE_TEXT_SIZE];
        bool inside;
        double start;
        double end;
};

/*
 * range_parse: reads the first @length bytes of @text as "[@][START:][END]", where START is 0 if it
 * is missing and "~" for minus infinity, and END is infinity if it is missing behind a colon.
 *
 * Returns 0 and sets @ret_range, or -EINVAL.
 */
int range_parse(const char *text, size_t length, Range *ret_range);

/*
 * range_alerts: returns whether @value is a reason for an alert; never if there is no range.
 */
bool range_alerts(const Range *range, double value);
