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
        /* Other values of the same number of bytes. */
        FAULT_CHANGED,
        /* The same bytes in another order. */
        FAULT_REORDERED,
        /* The echo repeats bytes. */
        FAULT_DUPLICATED,
        /* The echo contains bytes that the client did not send. */
        FAULT_INSERTED,
        /* The echo lacks bytes and continues behind them. */
        FAULT_DROPPED,
        /* The echo ends early. */
        FAULT_TRUNCATED,
        /* From there on the echo contains no part of the pattern. */
        FAULT_UNRECOGNIZED,
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
