/* SPDX-License-Identifier: MIT */
/*
 * Names the target in messages.
 *
 * A host has its port behind it, "HOST port N", so that an IPv6 address needs no brackets; a Unix
 * socket and an address of vsock have none. The text is the user's own word, not the address that
 * it resolved to, and appears in the messages and the results of all modes.
 *
 * It must never contain more than TARGET_TEXT_SIZE bytes: a longer name is cut.
 */
#include "client/network/target.h"

#include <stdio.h>

#include "lib/endpoint.h"

void target_format(const Target *target, char text[static TARGET_TEXT_SIZE]) {
        if (endpoint_is_internet(target->host))
                snprintf(text, TARGET_TEXT_SIZE, "%s port %hu", target->host, target->port);
        else
                snprintf(text, TARGET_TEXT_SIZE, "%s", target->host);
}
