/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Writes one JSON object (RFC 8259), member by member, to a stdio file; the caller checks
 * ferror(3). Names are constants of the program and need no escapes. */
typedef struct Json {
        FILE *file;
        bool comma; /* the next member needs a comma in front */
} Json;

/*
 * json_open, json_close: Begin and end an object; @name is NULL for the outermost one.
 *
 * json_open_list, json_close_list: Begin and end a list; @name is NULL for its members.
 */
void json_open(Json *json, const char *name);
void json_close(Json *json);
void json_open_list(Json *json, const char *name);
void json_close_list(Json *json);

/* json_string: Writes a member with the value @text, null for NULL. Writes UTF-8 (RFC 3629)
 * unchanged, and any other byte as the character of the same number. */
void json_string(Json *json, const char *name, const char *text);

/*
 * Write a member with the value @number or @value:
 *
 * json_integer, json_number: An integer; or a number with three digits after the point, null for
 * NaN. No number is infinite.
 *
 * json_small: A number with three significant digits, null for NaN.
 *
 * json_boolean, json_null: True or false; null.
 */
void json_integer(Json *json, const char *name, uint64_t number);
void json_number(Json *json, const char *name, double number);
void json_small(Json *json, const char *name, double number);
void json_boolean(Json *json, const char *name, bool value);
void json_null(Json *json, const char *name);
