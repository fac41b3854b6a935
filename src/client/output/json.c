/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON without a copy in memory: each call writes one member, in the order of the calls.
 *
 * Only text needs care. Valid UTF-8 passes unchanged; a byte that is not part of a valid sequence
 * becomes the character of the same number. Control characters, quotes and backslashes are escaped.
 * Numbers have three digits after the point, small ones three significant digits.
 *
 * The output must be valid for any bytes of a name, and for any number: JSON lacks NaN, which
 * becomes null.
 */
#include "client/output/json.h"

#include <inttypes.h>
#include <math.h>

/* Writes what precedes the value of a member. */
static void json_begin(Json *json, const char *name) {
        if (json->comma)
                fputs(", ", json->file);
        if (name != NULL)
                fprintf(json->file, "\"%s\": ", name);
        json->comma = true;
}

static void json_open_with(Json *json, const char *name, char bracket) {
        json_begin(json, name);
        putc(bracket, json->file);
        json->comma = false;
}

static void json_close_with(Json *json, char bracket) {
        putc(bracket, json->file);
        json->comma = true;
}

void json_open(Json *json, const char *name) {
        json_open_with(json, name, '{');
}

void json_close(Json *json) {
        json_close_with(json, '}');
}

void json_open_list(Json *json, const char *name) {
        json_open_with(json, name, '[');
}

void json_close_list(Json *json) {
        json_close_with(json, ']');
}

/* Returns the length of the UTF-8 sequence of several bytes that @text begins with, 0 for none. */
static size_t json_sequence(const char *text) {
        /* The smallest code point of the lengths 2 to 4: a longer form of a smaller one is
         * invalid. */
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char first = (unsigned char)text[0];
        size_t length = 0;
        uint32_t point;

        if (first >= 0xc0 && first < 0xf8)
                length = 2 + (first >= 0xe0) + (first >= 0xf0);
        point = first & (0x7fU >> length);
        for (size_t i = 1; i < length; i++) {
                if (((unsigned char)text[i] & 0xc0) != 0x80)
                        return 0;
                point = point << 6 | ((unsigned char)text[i] & 0x3f);
        }
        if (length == 0 || point < smallest[length] || point > 0x10ffff ||
            (point >= 0xd800 && point < 0xe000))
                return 0;
        return length;
}

void json_string(Json *json, const char *name, const char *text) {
        if (text == NULL) {
                json_null(json, name);
                return;
        }
        json_begin(json, name);
        putc('"', json->file);
        for (; *text != '\0'; text++) {
                unsigned char byte = (unsigned char)*text;
                size_t sequence = json_sequence(text);

                if (sequence > 0) {
                        fwrite(text, 1, sequence, json->file);
                        text += sequence - 1;
                } else if (byte == '"' || byte == '\\')
                        fprintf(json->file, "\\%c", byte);
                else if (byte < ' ' || byte > '~')
                        fprintf(json->file, "\\u%04x", byte);
                else
                        putc(byte, json->file);
        }
        putc('"', json->file);
}

void json_integer(Json *json, const char *name, uint64_t number) {
        json_begin(json, name);
        fprintf(json->file, "%" PRIu64, number);
}

void json_number(Json *json, const char *name, double number) {
        json_begin(json, name);
        fprintf(json->file, isnan(number) ? "null" : "%.3f", number);
}

void json_small(Json *json, const char *name, double number) {
        json_begin(json, name);
        fprintf(json->file, isnan(number) ? "null" : "%.3g", number);
}

void json_boolean(Json *json, const char *name, bool value) {
        json_begin(json, name);
        fputs(value ? "true" : "false", json->file);
}

void json_null(Json *json, const char *name) {
        json_begin(json, name);
        fputs("null", json->file);
}
