/* SPDX-License-Identifier: MIT */
/*
 * Parses and formats sizes, times, rates and bandwidths as users write them.
 *
 * A quantity is a decimal number, optionally with a fraction, and the name of a unit from a table.
 * The product is computed in integers, so that 0.1 s is exactly 100 ms; digits below the smallest
 * unit are dropped. Formatted values choose a unit that leaves few digits.
 *
 * Parsing must never round, wrap around or accept half of a word: each error has its errno, and the
 * option's message contains the range.
 */
#include "client/value/quantity.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/number.h"

typedef struct QuantityUnit {
        const char *name;
        uint64_t factor;
} QuantityUnit;

#define BILLION UINT64_C(1000000000)

/* Parses the digits after the point as billionths. */
static int quantity_parse_fraction(const char *digits, uint64_t *ret_billionths) {
        size_t length = strlen(digits);
        uint64_t billionths;

        if (length > 9 || number_parse(digits, 0, UINT64_MAX, &billionths) < 0)
                return -EINVAL;
        for (; length < 9; length++)
                billionths *= 10;
        *ret_billionths = billionths;
        return 0;
}

/* Parses @text, a number of @factor units. Rejects a fraction of an indivisible unit. */
static int quantity_parse_number(char *text, uint64_t factor, uint64_t *ret_number) {
        char *point = strchr(text, '.');
        uint64_t whole = 0, billionths = 0, number;
        int r;

        if (point != NULL) {
                *point = '\0';
                if (factor == 1 || quantity_parse_fraction(point + 1, &billionths) < 0)
                        return -EINVAL;
        }
        /* People write ".5" for a half. */
        r = point == text ? 0 : number_parse(text, 0, UINT64_MAX, &whole);
        if (r < 0)
                return r;
        /* In two steps, none of which overflows. */
        billionths = billionths * (factor / BILLION) + billionths * (factor % BILLION) / BILLION;
        if (__builtin_mul_overflow(whole, factor, &number) ||
            __builtin_add_overflow(number, billionths, &number))
                return -ERANGE;
        *ret_number = number;
        return 0;
}

static int quantity_parse(const char *text, const QuantityUnit *units, size_t count,
                          uint64_t minimum, uint64_t maximum, uint64_t *ret_number) {
        size_t length = strspn(text, "0123456789.");
        char digits[40];
        uint64_t number;
        int r;

        while (count > 0 && strcasecmp(text + length, units->name) != 0) {
                units++;
                count--;
        }
        if (count == 0)
                return -EINVAL;
        if (length >= sizeof digits)
                return strchr(text, '.') == NULL ? -ERANGE : -EINVAL;
        memcpy(digits, text, length);
        digits[length] = '\0';
        r = quantity_parse_number(digits, units->factor, &number);
        if (r < 0)
                return r;
        if (number < minimum || number > maximum)
                return -ERANGE;
        *ret_number = number;
        return 0;
}

#define QUANTITY_POWER(letter, shift)                                                              \
        { letter, UINT64_C(1) << (shift) }, { letter "B", UINT64_C(1) << (shift) }, {              \
                letter "iB", UINT64_C(1) << (shift)                                                \
        }

enum {
        QUANTITY_BANDWIDTHS = 3,
};

/* Units of bandwidth alone, in bytes, and then those of sizes. */
static const QuantityUnit quantity_bytes[] = {
        { "kbit", 1000 / 8 },
        { "Mbit", 1000000 / 8 },
        { "Gbit", 1000000000 / 8 },
        { "", 1 },
        { "B", 1 },
        QUANTITY_POWER("K", 10),
        QUANTITY_POWER("M", 20),
        QUANTITY_POWER("G", 30),
        QUANTITY_POWER("T", 40),
        QUANTITY_POWER("P", 50),
};

int quantity_parse_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_size) {
        return quantity_parse(text, quantity_bytes + QUANTITY_BANDWIDTHS,
                              sizeof quantity_bytes / sizeof quantity_bytes[0] -
                                              QUANTITY_BANDWIDTHS,
                              minimum, maximum, ret_size);
}

int quantity_parse_bandwidth(const char *text, uint64_t minimum, uint64_t maximum,
                             uint64_t *ret_bandwidth) {
        return quantity_parse(text, quantity_bytes,
                              sizeof quantity_bytes / sizeof quantity_bytes[0], minimum, maximum,
                              ret_bandwidth);
}

int quantity_parse_time(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_time) {
        const QuantityUnit units[] = {
                { "", unit },
                { "us", 1000 },
                { "ms", CLOCK_MILLISECOND },
                { "s", CLOCK_SECOND },
                { "m", 60 * CLOCK_SECOND },
                { "h", 3600 * CLOCK_SECOND },
        };

        return quantity_parse(text, units, sizeof units / sizeof units[0], minimum, maximum,
                              ret_time);
}

int quantity_parse_rate(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_rate) {
        const QuantityUnit units[] = { { "", unit },
                                       { "k", 1000 * unit },
                                       { "M", 1000000 * unit } };

        return quantity_parse(text, units, sizeof units / sizeof units[0], minimum, maximum,
                              ret_rate);
}

const char *quantity_format_bytes(double bytes, char text[static QUANTITY_TEXT_SIZE]) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        size_t unit = 0;

        if (bytes < 1024) {
                snprintf(text, QUANTITY_TEXT_SIZE, "%.0f byte%s", bytes, bytes == 1 ? "" : "s");
                return text;
        }
        /* From 1023.95 on, "%.1f" would write four digits and round them up to the next unit. */
        for (bytes /= 1024; bytes >= 1023.95 && unit < sizeof units / sizeof units[0] - 1; unit++)
                bytes /= 1024;
        snprintf(text, QUANTITY_TEXT_SIZE, "%.1f %s", bytes, units[unit]);
        return text;
}

const char *quantity_plural(uint64_t number) {
        return number == 1 ? "" : "s";
}

const char *quantity_format_time(uint64_t time, char text[static QUANTITY_TEXT_SIZE]) {
        snprintf(text, QUANTITY_TEXT_SIZE, "%.9g", clock_seconds(time));
        return text;
}

const char *quantity_format_duration(double time, char text[static QUANTITY_TEXT_SIZE]) {
        static const char *const units[] = { "us", "ms", "s" };
        size_t unit = 0;
        int digits = 0;

        if (time < 999.5) {
                snprintf(text, QUANTITY_TEXT_SIZE, "%.0f ns", time);
                return text;
        }
        /* A value that would round to 1000 belongs to the next unit. */
        for (time /= 1000; time >= 999.5 && unit < sizeof units / sizeof units[0] - 1; unit++)
                time /= 1000;
        if (time < 99.95)
                digits = time < 9.995 ? 2 : 1;
        snprintf(text, QUANTITY_TEXT_SIZE, "%.*f %s", digits, time, units[unit]);
        return text;
}

const char *quantity_format_percent(double percent, int digits,
                                    char text[static QUANTITY_TEXT_SIZE]) {
        if (percent >= 100) {
                snprintf(text, QUANTITY_TEXT_SIZE, "100");
                return text;
        }
        do
                snprintf(text, QUANTITY_TEXT_SIZE, "%.*g", digits++, percent);
        while (digits <= DBL_DECIMAL_DIG && strtod(text, NULL) >= 100);
        return text;
}
