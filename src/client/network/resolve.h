/* SPDX-License-Identifier: MIT */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/endpoint.h"
#include "lib/failure.h"

enum {
        /* Room for target_format(): a host name (at most 253 bytes) or a Unix socket's name. */
        TARGET_TEXT_SIZE = 300,
        /* A DNS name has at most 253 bytes, a Unix socket's name 107. */
        TARGET_HOST_SIZE = 256,
        /* The resolver drops further addresses of a name. */
        ADDRESSES_MAXIMUM = 32,
};

/* The peer as the command line names it. */
typedef struct Target {
        /* A name, an address (IPv6 without brackets), a "/path", an "@abstract" name
         * or "vsock:CID:PORT". */
        char host[TARGET_HOST_SIZE];
        in_port_t port; /* 1 to 65535; unused for Unix sockets and vsock */
        int family;     /* AF_INET or AF_INET6 alone, or AF_UNSPEC for both */
} Target;

typedef struct Addresses {
        size_t count;
        Endpoint list[ADDRESSES_MAXIMUM];
} Addresses;

/* target_format: Writes "HOST port N", or a name without a port alone, to @text as part of a
 * sentence. Cuts a longer one. */
void target_format(const Target *target, char text[static TARGET_TEXT_SIZE]);

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
