/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

typedef struct Fault Fault;
typedef enum FaultKind FaultKind;

enum {
        /* Room for fault_format(). */
        FAULT_TEXT_SIZE = 160,
};

/* What can happen to a stream of bytes on its way. */
enum FaultKind {
        FAULT_NONE,
        /* Other bytes, as many of them. */
        FAULT_CHANGED,
        /* The same bytes in another order. */
        FAULT_REORDERED,
        /* Bytes that came a second time. */
        FAULT_DUPLICATED,
        /* Bytes that nobody sent, between those that were sent. */
        FAULT_INSERTED,
        /* Bytes that did not come, while later ones did. */
        FAULT_DROPPED,
        /* The end did not come. */
        FAULT_TRUNCATED,
        /* Nothing that was sent has been found in it from there on. */
        FAULT_UNRECOGNIZED,
};

struct Fault {
        FaultKind kind;
        /* Where in the received stream, counted from 0, and how many bytes it is about. */
        uint64_t offset;
        uint64_t size;
        /* For a change: how many bits differ, and the first byte as it was sent and received. */
        uint64_t bits;
        uint8_t sent;
        uint8_t received;
};

/*
 * fault_format: writes to @text what has happened, as a sentence without the full stop.
 */
void fault_format(const Fault *fault, char text[static FAULT_TEXT_SIZE]);

/*
 * fault_kind_name: one word for @kind, for programs to read; a constant string.
 */
const char *fault_kind_name(FaultKind kind);
