/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

typedef struct Failure Failure;
typedef enum FailureKind FailureKind;

enum {
        FAILURE_TEXT_SIZE = 1024,
};

/* What can go wrong between here and the service, told apart as far as it helps to find out why. */
enum FailureKind {
        FAILURE_NONE,
        /* The host has no address. */
        FAILURE_RESOLVE,
        /* Nobody listens there. */
        FAILURE_REFUSED,
        /* There is no way there. */
        FAILURE_UNREACHABLE,
        /* Something did not come in time. */
        FAILURE_TIMEOUT,
        /* The connection was reset. */
        FAILURE_RESET,
        /* The connection was closed too early. */
        FAILURE_CLOSED,
        /* What came back is not what was sent. */
        FAILURE_DIFFERS,
        /* Not all that was sent came back. */
        FAILURE_MISSING,
        /* This machine, or this program, is the reason. */
        FAILURE_LOCAL,
        /* Somebody ended the program early. */
        FAILURE_INTERRUPTED,
        FAILURE_KINDS,
};

/*
 * What went wrong, as one sentence without the final full stop, for a human to read, and its kind.
 * A function that can fail in more ways than an errno tells takes one and fills it; its caller
 * decides where the sentence goes.
 */
struct Failure {
        FailureKind kind;
        char text[FAILURE_TEXT_SIZE];
};

/*
 * failure_set: writes the sentence, printf(3) style. One that is too long is cut. Returns @error,
 * so that a function can fail and say why in one statement.
 */
int failure_set(Failure *failure, FailureKind kind, int error, const char *format, ...)
                __attribute__((format(printf, 4, 5)));

/*
 * failure_append: adds to the sentence that is there already.
 */
void failure_append(Failure *failure, const char *format, ...)
                __attribute__((format(printf, 2, 3)));

/*
 * failure_kind_from_errno: what @error, a positive errno of a socket's, means.
 */
FailureKind failure_kind_from_errno(int error);

/*
 * failure_kind_name: one word for @kind, for programs to read; a constant string.
 */
const char *failure_kind_name(FailureKind kind);
