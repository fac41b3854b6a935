/* SPDX-License-Identifier: MIT */
#pragma once

#include "report/line.h"
#include "report/record.h"

/* sentence_add: Adds to @line the sentence of @record, without a newline. Its texts come as they
 * are, also with unprintable bytes; record.c replaces these. */
void sentence_add(Line *line, const Record *record);
