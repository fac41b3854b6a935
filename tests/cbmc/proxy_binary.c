/* SPDX-License-Identifier: MIT */
/* cbmc: src/handler/proxy.c src/lib/address.c --unwind 37 */
/* smaller: s/PROXY_MOST = 16384/PROXY_MOST = 36/ src/handler/proxy.h */
/* smaller: s/bit < 8/bit < 0/ src/handler/proxy.c */
/* Whatever follows the signature of version 2, proxy_parse() reads no byte beyond what a peer has
 * sent, and announces the addresses that the header has. */
#include "handler/proxy.h"

#include <string.h>

#include "prove.h"

enum {
        COMMAND = 12, /* where the parts of a header begin */
        FAMILY,
        LENGTH,
        ENDPOINTS = 16,
};

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";

static void prove_endpoints(const uint8_t *bytes, const ProxyEndpoints *endpoints) {
        const bool is_proxy = bytes[COMMAND] == 0x21, is_ipv4 = (bytes[FAMILY] & 0xf0) == 0x10;
        const bool has_addresses = endpoints->source.family != AF_UNSPEC;
        const uint8_t *found = bytes + ENDPOINTS;

        prove(bytes[COMMAND] == 0x20 || is_proxy, "a header is LOCAL or PROXY");
        prove(is_proxy || !has_addresses, "LOCAL has no addresses");
        prove(!is_proxy || !is_ipv4 || endpoints->source.family == AF_INET, "IPv4 has addresses");
        if (is_proxy && is_ipv4)
                prove(memcmp(&endpoints->source.ipv4, found, 4) == 0 &&
                                      memcmp(&endpoints->destination.ipv4, found + 4, 4) == 0 &&
                                      endpoints->source.port == found[8] * 256 + found[9] &&
                                      endpoints->destination.port == found[10] * 256 + found[11],
                      "the endpoints are those of the header");
}

static void prove_size(size_t size) {
        uint8_t bytes[size];
        ProxyEndpoints endpoints = {};
        int r;

        fill(bytes, size);
        for (int i = 0; i < COMMAND; i++)
                bytes[i] = (uint8_t)signature[i];

        r = proxy_parse(bytes, size, &endpoints);
        prove(r >= 0 || (r <= -PROXY_VERSION && r >= -PROXY_CHECKSUM),
              "an error is one of version 2");
        prove(r > 0 || endpoints.source.family == AF_UNSPEC, "a wrong header has no address");
        if (r <= 0)
                return;

        prove((size_t)r <= size, "a header is among the bytes");
        prove(r == ENDPOINTS + bytes[LENGTH] * 256 + bytes[LENGTH + 1], "a header has its length");
        prove_endpoints(bytes, &endpoints);
}

void harness(void) {
        prove_size(ENDPOINTS - 1);
        prove_size(PROXY_MOST - 1);
}
