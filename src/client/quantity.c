/* SPDX-License-Identifier: MIT */
#include "client/quantity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/instant.h"
#include "lib/number.h"

int quantity_parse_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_size) {
        static const char suffixes[] = "KMG";
        char digits[21];
        size_t length = strlen(text);
        const char *suffix = length > 0 ? strchr(suffixes, text[length - 1]) : NULL;
        unsigned shift = 0;
        uint64_t size;
        int r;

        if (suffix != NULL) {
                shift = 10 * ((unsigned)(suffix - suffixes) + 1);
                length--;
        }
        if (length >= sizeof digits)
                return text[strspn(text, "0123456789")] == '\0' ? -ERANGE : -EINVAL;
        memcpy(digits, text, length);
        digits[length] = '\0';
        r = number_parse(digits, 0, UINT64_MAX, &size);
        if (r < 0)
                return r;
        if (size > UINT64_MAX >> shift || size << shift < minimum || size << shift > maximum)
                return -ERANGE;
        *ret_size = size << shift;
        return 0;
}

/* The digits after the point, as billionths. */
static int quantity_parse_fraction(const char *text, uint64_t *ret_billionths) {
        size_t length = strlen(text);
        uint64_t billionths;

        if (length > 9 || number_parse(text, 0, UINT64_MAX, &billionths) < 0)
                return -EINVAL;
        for (; length < 9; length++)
                billionths *= 10;
        *ret_billionths = billionths;
        return 0;
}

int quantity_parse_time(const char *text, uint64_t unit, uint64_t minimum, uint64_t maximum,
                        uint64_t *ret_time) {
        size_t length = strcspn(text, ".");
        uint64_t whole = 0, billionths = 0, time;
        char digits[21];
        int r;

        if (text[length] == '.' && quantity_parse_fraction(text + length + 1, &billionths) < 0)
                return -EINVAL;
        if (length >= sizeof digits)
                return -EINVAL;
        memcpy(digits, text, length);
        digits[length] = '\0';
        /* ".5" is what people write for a half. */
        r = text[0] == '.' ? 0 : number_parse(digits, 0, UINT64_MAX, &whole);
        if (r < 0)
                return r;
        if (__builtin_mul_overflow(whole, unit, &time) ||
            __builtin_add_overflow(time, unit * billionths / 1000000000, &time) || time < minimum ||
            time > maximum)
                return -ERANGE;
        *ret_time = time;
        return 0;
}

const char *quantity_format_bytes(double bytes, char text[static QUANTITY_TEXT_SIZE]) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        size_t unit = 0;

        if (bytes < 1024) {
                snprintf(text, QUANTITY_TEXT_SIZE, "%.0f bytes", bytes);
                return text;
        }
        /* From 1023.95 on, "%.1f" would write four digits and round them up to the next unit. */
        for (bytes /= 1024; bytes >= 1023.95 && unit < sizeof units / sizeof units[0] - 1; unit++)
                bytes /= 1024;
        snprintf(text, QUANTITY_TEXT_SIZE, "%.1f %s", bytes, units[unit]);
        return text;
}

const char *quantity_format_time(uint64_t time, char text[static QUANTITY_TEXT_SIZE]) {
        snprintf(text, QUANTITY_TEXT_SIZE, "%.9g", (double)time / (double)INSTANT_SECOND);
        return text;
}
