/* SPDX-License-Identifier: MIT */
/*
 * Formats the one sentence that explains a failure to a person. The caller decides where it goes.
 */
#include "lib/failure.h"

#include <stdarg.h>
#include <stdio.h>

int sentence_set(Sentence *sentence, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(sentence->text, sizeof sentence->text, format, arguments);
        va_end(arguments);
        return error;
}
