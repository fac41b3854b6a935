/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Json Json;

/*
 * Writes one JSON object (RFC 8259), member by member, to a stdio file, whose errors are left to
 * be found there. Names are constants of the program's and written as they are.
 */
struct Json {
        FILE *file;
        /* Whether the next member needs a comma in front. */
        bool comma;
};

/*
 * json_open, json_close: begin and end an object: the outermost one with @name NULL.
 */
void json_open(Json *json, const char *name);
void json_close(Json *json);

/*
 * json_open_list, json_close_list: begin and end a list, whose members have no names: NULL.
 */
void json_open_list(Json *json, const char *name);
void json_close_list(Json *json);

/*
 * json_string: a member whose value is @text, or null if that is NULL. UTF-8 (RFC 3629) is written
 * as it is; a byte that belongs to none becomes the character of its number.
 */
void json_string(Json *json, const char *name, const char *text);

/*
 * json_integer, json_number: a member whose value is a whole number, or one with three digits
 * behind the point. @number must be finite.
 */
void json_integer(Json *json, const char *name, uint64_t number);
void json_number(Json *json, const char *name, double number);

/*
 * json_boolean: a member that is true or false.
 */
void json_boolean(Json *json, const char *name, bool value);

/*
 * json_null: a member without a value.
 */
void json_null(Json *json, const char *name);
