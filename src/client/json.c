/* SPDX-License-Identifier: MIT */
#include "client/json.h"

#include <inttypes.h>

static void json_begin(Json *json, const char *name) {
        if (json->comma)
                fputs(", ", json->file);
        if (name != NULL)
                fprintf(json->file, "\"%s\": ", name);
        json->comma = true;
}

void json_open(Json *json, const char *name) {
        json_begin(json, name);
        putc('{', json->file);
        json->comma = false;
}

void json_close(Json *json) {
        putc('}', json->file);
        json->comma = true;
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

                if (byte == '"' || byte == '\\')
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
        fprintf(json->file, "%.3f", number);
}

void json_null(Json *json, const char *name) {
        json_begin(json, name);
        fputs("null", json->file);
}
