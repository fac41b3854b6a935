/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/address.h"

/* Lists of networks: whom an option lets in. */

enum {
        NETWORKS_MOST = 64,
};

/* The addresses that begin with the first @prefix bits of @address; all Unix peers for AF_UNIX. */
typedef struct Network {
        sa_family_t family; /* AF_INET, AF_INET6 or AF_UNIX */
        uint8_t prefix;
        uint8_t address[16];
} Network;

typedef struct Networks {
        uint32_t n;
        Network items[NETWORKS_MOST];
} Networks;

/*
 * networks_parse: Parses @text, networks separated by commas: "192.0.2.0/24", "2001:db8::/32", an
 * address alone, or "unix". No bit may be set behind a prefix.
 *
 * Returns 0 and sets @ret_networks; or -EINVAL and sets @ret_expected to what would have been
 * right, half a sentence in a constant string.
 */
int networks_parse(const char *text, Networks *ret_networks, const char **ret_expected);

/* networks_contain: Returns whether @address is in one of the @networks. The zone of an IPv6
 * address does not matter. */
bool networks_contain(const Networks *networks, const Address *address);
