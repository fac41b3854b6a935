/* SPDX-License-Identifier: MIT */
/*
 * Formats the one sentence that explains a failure to a person, and sorts failures into kinds for
 * programs. The sentence names the object that failed, as in "Cannot listen on '[::]:7': Address
 * already in use".
 *
 * The function that fails knows the object, but not the reader: a terminal, the journal or a JSON
 * document. So it fills a Failure and returns an error, and its caller decides where the sentence
 * goes. Nothing here may print, allocate memory or exit.
 */
#include "lib/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void
failure_write(Failure *failure, FailureKind kind, const char *format, va_list arguments) {
        failure->kind = kind;
        vsnprintf(failure->text, sizeof failure->text, format, arguments);
}

int failure_set(Failure *failure, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        failure_write(failure, FAILURE_LOCAL, format, arguments);
        va_end(arguments);
        return error;
}

int failure_set_kind(Failure *failure, FailureKind kind, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        failure_write(failure, kind, format, arguments);
        va_end(arguments);
        return error;
}

void failure_append(Failure *failure, const char *format, ...) {
        size_t length = strlen(failure->text);
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(failure->text + length, sizeof failure->text - length, format, arguments);
        va_end(arguments);
}

FailureKind failure_kind_from_errno(int error) {
        switch (error) {
        case ECONNREFUSED:
                return FAILURE_REFUSED;
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EHOSTDOWN:
        case ENETDOWN:
        case ENONET:
        case ENOENT:
        case ENOTDIR:
                return FAILURE_UNREACHABLE;
        case ETIMEDOUT:
        case ETIME:
                return FAILURE_TIMEOUT;
        case ECONNRESET:
        case ECONNABORTED:
                return FAILURE_RESET;
        case EPIPE:
                return FAILURE_CLOSED;
        case EBADMSG:
                return FAILURE_DIFFERS;
        case EINTR:
                return FAILURE_INTERRUPTED;
        default:
                return FAILURE_LOCAL;
        }
}

const char *failure_kind_name(FailureKind kind) {
        static const char *const names[FAILURE_KINDS] = {
                [FAILURE_NONE] = "none",       [FAILURE_RESOLVE] = "resolve",
                [FAILURE_REFUSED] = "refused", [FAILURE_UNREACHABLE] = "unreachable",
                [FAILURE_TIMEOUT] = "timeout", [FAILURE_RESET] = "reset",
                [FAILURE_CLOSED] = "closed",   [FAILURE_DIFFERS] = "differs",
                [FAILURE_MISSING] = "missing", [FAILURE_LOSS] = "loss",
                [FAILURE_LOCAL] = "local",     [FAILURE_INTERRUPTED] = "interrupted",
        };

        return names[kind];
}
