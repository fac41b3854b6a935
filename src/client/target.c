/* SPDX-License-Identifier: MIT */
/*
 * Writes the name of the target as all sentences have it.
 */
#include "client/target.h"

#include <stdio.h>

#include "lib/endpoint.h"

void target_format(const Target *target, char text[static TARGET_TEXT_SIZE]) {
        if (endpoint_is_local(target->host))
                snprintf(text, TARGET_TEXT_SIZE, "%s", target->host);
        else
                snprintf(text, TARGET_TEXT_SIZE, "%s port %hu", target->host, target->port);
}
