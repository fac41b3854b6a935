/* SPDX-License-Identifier: MIT */
/*
 * Puts the faults of a comparison into words.
 *
 * Each sentence contains the place, counted in received bytes from zero, because a dump of the
 * received stream shows that number. Nouns follow their numbers: "1 byte", "2 bytes".
 * fault_kind_name() returns the words for programs, which the JSON schema lists.
 *
 * A sentence must fit FAULT_TEXT_SIZE with any numbers, and must not claim a cause: the client sees
 * the stream, not the machine that damaged it.
 */
#include "client/content/fault.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/value/quantity.h"

static void fault_format_change(const Fault *fault, char text[static FAULT_TEXT_SIZE]) {
        if (fault->size == 1)
                snprintf(text, FAULT_TEXT_SIZE,
                         "the byte at offset %" PRIu64 " came back as 0x%02x instead of 0x%02x, "
                         "%" PRIu64 " bit%s changed",
                         fault->offset, fault->received, fault->sent, fault->bits,
                         quantity_plural(fault->bits));
        else
                snprintf(text, FAULT_TEXT_SIZE,
                         "%" PRIu64 " byte%s from offset %" PRIu64 " on came back changed, %" PRIu64
                         " bit%s of them",
                         fault->size, quantity_plural(fault->size), fault->offset, fault->bits,
                         quantity_plural(fault->bits));
}

static void fault_format_loss(const Fault *fault, char text[static FAULT_TEXT_SIZE]) {
        const char *plural = quantity_plural(fault->size);

        if (fault->kind == FAULT_DROPPED)
                snprintf(text, FAULT_TEXT_SIZE, "%" PRIu64 " byte%s dropped at offset %" PRIu64,
                         fault->size, plural, fault->offset);
        else
                snprintf(text, FAULT_TEXT_SIZE,
                         "truncated: the last %" PRIu64 " byte%s did not come back, from offset "
                         "%" PRIu64 " on",
                         fault->size, plural, fault->offset);
}

void fault_format(const Fault *fault, char text[static FAULT_TEXT_SIZE]) {
        const char *plural = quantity_plural(fault->size);

        switch (fault->kind) {
        case FAULT_NONE:
                snprintf(text, FAULT_TEXT_SIZE, "nothing happened");
                break;
        case FAULT_CHANGED:
                fault_format_change(fault, text);
                break;
        case FAULT_REORDERED:
                snprintf(text, FAULT_TEXT_SIZE,
                         "%" PRIu64 " byte%s from offset %" PRIu64 " on came back in another order",
                         fault->size, plural, fault->offset);
                break;
        case FAULT_DUPLICATED:
                snprintf(text, FAULT_TEXT_SIZE,
                         "%" PRIu64 " byte%s came back twice, the second time at offset %" PRIu64,
                         fault->size, plural, fault->offset);
                break;
        case FAULT_INSERTED:
                snprintf(text, FAULT_TEXT_SIZE,
                         "%" PRIu64 " byte%s that nobody sent came at offset %" PRIu64, fault->size,
                         plural, fault->offset);
                break;
        case FAULT_DROPPED:
        case FAULT_TRUNCATED:
                fault_format_loss(fault, text);
                break;
        case FAULT_UNRECOGNIZED:
                snprintf(text, FAULT_TEXT_SIZE,
                         "what came back from offset %" PRIu64 " on is unrecognized",
                         fault->offset);
                break;
        }
}

const char *fault_kind_name(FaultKind kind) {
        static const char *const names[] = {
                [FAULT_NONE] = "none",           [FAULT_CHANGED] = "changed",
                [FAULT_REORDERED] = "reordered", [FAULT_DUPLICATED] = "duplicated",
                [FAULT_INSERTED] = "inserted",   [FAULT_DROPPED] = "dropped",
                [FAULT_TRUNCATED] = "truncated", [FAULT_UNRECOGNIZED] = "unrecognized",
        };

        return names[kind];
}
