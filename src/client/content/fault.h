/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

enum {
        /* Room for fault_format(). */
        FAULT_TEXT_SIZE = 160,
};

/* The kinds of damage to a stream of bytes. */
typedef enum FaultKind {
        FAULT_NONE,
        FAULT_CHANGED,      /* other values of the same number of bytes */
        FAULT_REORDERED,    /* the same bytes in another order */
        FAULT_DUPLICATED,   /* the echo repeats bytes */
        FAULT_INSERTED,     /* the echo contains bytes that the client did not send */
        FAULT_DROPPED,      /* the echo lacks bytes and continues behind them */
        FAULT_TRUNCATED,    /* the echo ends early */
        FAULT_UNRECOGNIZED, /* from there on the echo contains no part of the pattern */
} FaultKind;

typedef struct Fault {
        FaultKind kind;
        /* The offset in the received stream, from 0, and the number of affected bytes. */
        uint64_t offset;
        uint64_t size;
        /* For a change: the number of different bits, and the first byte as sent and as
         * received. */
        uint64_t bits;
        uint8_t sent;
        uint8_t received;
} Fault;

/*
 * fault_format: Writes to @text a sentence about @fault, without the full stop.
 *
 * fault_kind_name: Returns one word for @kind, for programs to read; a constant string.
 */
void fault_format(const Fault *fault, char text[static FAULT_TEXT_SIZE]);
const char *fault_kind_name(FaultKind kind);
