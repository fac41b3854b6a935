/* SPDX-License-Identifier: MIT */
/*
 * Lists of networks, as an administrator writes them. An IPv4 address that is mapped to IPv6 is an
 * IPv4 address (address.h), so an IPv6 network never matches IPv4 peers.
 *
 * A mistake would trust others than meant. So the parser takes numbers only, and rejects bits
 * behind a prefix.
 */
#include "start/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/number.h"

#define MOST "at most 64 networks"

/* Returns whether the first @prefix bits of @one and @other are the same. */
static bool bits_are_same(const uint8_t *one, const uint8_t *other, size_t prefix) {
        const size_t whole = prefix / 8;
        const unsigned rest = (0xff00U >> prefix % 8) & 0xff;

        return memcmp(one, other, whole) == 0 &&
               (rest == 0 || ((one[whole] ^ other[whole]) & rest) == 0);
}

/* Returns whether @network has a bit behind its prefix. */
static bool network_has_host(const Network *network) {
        for (size_t bit = network->prefix; bit < 8 * sizeof network->address; bit++)
                if (network->address[bit / 8] >> (7 - bit % 8) & 1)
                        return true;
        return false;
}

/* Parses one network, which is a string of its own. */
static int network_parse(char *text, Network *ret_network, const char **ret_expected) {
        Network network = { .family = AF_INET };
        char *slash = strchr(text, '/');
        uint64_t prefix;

        if (strcmp(text, "unix") == 0) {
                *ret_network = (Network){ .family = AF_UNIX };
                return 0;
        }
        if (slash != NULL)
                *slash = '\0';
        if (strchr(text, ':') != NULL)
                network.family = AF_INET6;
        prefix = network.family == AF_INET ? 32 : 128;
        *ret_expected = "addresses, networks such as 192.0.2.0/24, or unix";
        if (inet_pton(network.family, text, network.address) != 1 ||
            (slash != NULL && number_parse(slash + 1, 0, prefix, &prefix) < 0))
                return -EINVAL;
        network.prefix = (uint8_t)prefix;
        *ret_expected = "networks without a bit behind their prefix";
        if (network_has_host(&network))
                return -EINVAL;
        *ret_network = network;
        return 0;
}

int networks_parse(const char *text, Networks *ret_networks, const char **ret_expected) {
        char copy[NETWORKS_MOST * (INET6_ADDRSTRLEN + sizeof "/128")], *rest = copy, *word;
        Networks networks = {};
        int r;

        if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy) {
                *ret_expected = MOST;
                return -EINVAL;
        }
        while ((word = strsep(&rest, ",")) != NULL) {
                if (networks.n == NETWORKS_MOST) {
                        *ret_expected = MOST;
                        return -EINVAL;
                }
                r = network_parse(word, &networks.items[networks.n++], ret_expected);
                if (r < 0)
                        return r;
        }
        *ret_networks = networks;
        return 0;
}

bool networks_contain(const Networks *networks, const Address *address) {
        const uint8_t *bytes = (const uint8_t *)&address->ipv4;

        if (address->family == AF_INET6)
                bytes = (const uint8_t *)&address->ipv6;
        for (uint32_t i = 0; i < networks->n; i++)
                if (networks->items[i].family == address->family &&
                    bits_are_same(networks->items[i].address, bytes, networks->items[i].prefix))
                        return true;
        return false;
}
