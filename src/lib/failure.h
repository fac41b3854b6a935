/* SPDX-License-Identifier: MIT */
#pragma once

/* The exit status of both programs. */
typedef enum Status {
        STATUS_DONE = 0,
        STATUS_FAILED = 1,
        STATUS_USAGE = 2, /* a wrong command line */
} Status;

enum {
        FAILURE_TEXT_SIZE = 1024,
};

/* Kinds of failures, for programs that read results. */
typedef enum FailureKind {
        FAILURE_NONE,
        FAILURE_RESOLVE,     /* the host has no address */
        FAILURE_REFUSED,     /* no process listens at the address */
        FAILURE_UNREACHABLE, /* no route leads to the host, or there is no such Unix socket */
        FAILURE_TIMEOUT,     /* the peer took too long */
        FAILURE_RESET,       /* the peer reset the connection */
        FAILURE_CLOSED,      /* the peer closed the connection too early */
        FAILURE_DIFFERS,     /* the peer sent back other bytes */
        FAILURE_MISSING,     /* the peer sent back too few bytes */
        FAILURE_LOSS,        /* some flows lose more than the others */
        FAILURE_LOCAL,       /* this machine or this program failed, or was used wrongly */
        FAILURE_INTERRUPTED, /* a signal ended the program early */
        FAILURE_KINDS,
} FailureKind;

/* A failure that a function reports to a person: one sentence, without a full stop, that names the
 * object that failed. The caller decides where the sentence goes. */
typedef struct Failure {
        FailureKind kind;
        char text[FAILURE_TEXT_SIZE];
} Failure;

/*
 * failure_set: Writes the sentence like printf(3), cut to the room, and sets the kind
 * FAILURE_LOCAL. failure_set_kind: Sets @kind as well.
 *
 * Return @error, so that a function can fail and explain in one statement.
 */
__attribute__((format(printf, 3, 4))) int failure_set(Failure *failure, int error,
                                                      const char *format, ...);
__attribute__((format(printf, 4, 5))) int failure_set_kind(Failure *failure, FailureKind kind,
                                                           int error, const char *format, ...);

/* failure_append: Appends to the sentence, cut to the room. */
__attribute__((format(printf, 2, 3))) void failure_append(Failure *failure, const char *format,
                                                          ...);

/*
 * failure_kind_from_errno: Returns the kind of @error, a positive errno of a socket.
 *
 * failure_kind_name: Returns one word for @kind, for programs to read; a constant string.
 */
FailureKind failure_kind_from_errno(int error);
const char *failure_kind_name(FailureKind kind);
