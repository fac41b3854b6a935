/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/network/target.h"
#include "lib/endpoint.h"
#include "lib/failure.h"

typedef struct Addresses Addresses;

enum {
        /* The resolver drops further addresses of a name. */
        ADDRESSES_MAXIMUM = 32,
};

struct Addresses {
        size_t count;
        Endpoint list[ADDRESSES_MAXIMUM];
};

/*
 * resolve_target: Finds the addresses of @target, with its port, in the order of getaddrinfo(3).
 * Waits until the instant @end (CLOCK_NEVER for no limit) or until @interrupt, a descriptor of
 * interrupt_open() or -1, is readable.
 *
 * Returns 0 and sets @ret_addresses to at least one. Returns -ETIME, -EINTR, or another negative
 * errno; appends to the sentence of @failure and sets its kind.
 */
int resolve_target(const Target *target, uint64_t end, int interrupt, Addresses *ret_addresses,
                   Failure *failure);
