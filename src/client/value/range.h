/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
        RANGE_TEXT_SIZE = 40,
};

/* A range of the monitoring plugins' guidelines. A value outside it raises an alert; after an "@",
 * a value inside. */
typedef struct Range {
        /* The text as given; empty for no range. */
        char text[RANGE_TEXT_SIZE];
        bool inside;
        double start;
        double end;
} Range;

/*
 * range_parse: Parses the first @length bytes of @text as "[@][START:][END]". START defaults to 0
 * and "~" is minus infinity; END after a colon defaults to infinity.
 *
 * Returns 0 and sets @ret_range, or -EINVAL.
 */
int range_parse(const char *text, size_t length, Range *ret_range);

/* range_alerts: Returns whether @value raises an alert; false without a range. */
bool range_alerts(const Range *range, double value);
