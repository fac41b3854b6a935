/* SPDX-License-Identifier: MIT */
/* Whatever a peer sends, the parser of PROXY headers takes it the same way however it is split: the
 * decision falls at one byte, no byte behind it changes the decision, and none before it has an
 * address. */

#include "fuzz.h"
#include "handler/proxy.h"

static void check_address(const Address *address) {
        FUZZ_CHECK(address->family == AF_UNSPEC || address->family == AF_INET ||
                   address->family == AF_INET6);
        FUZZ_CHECK(address->scope == 0);
        FUZZ_CHECK(address->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->ipv6));
}

/* Returns what the parser says of the first @size bytes, in memory of their own. */
static int parse(const uint8_t *data, size_t size) {
        uint8_t *copy = fuzz_copy(data, size);
        ProxyEndpoints endpoints;
        int r;

        fuzz_fill(&endpoints, sizeof endpoints);
        r = proxy_parse(copy, size, &endpoints);
        free(copy);
        if (r <= 0) {
                FUZZ_CHECK(fuzz_is_filled(&endpoints, sizeof endpoints));
                FUZZ_CHECK(r == 0 || proxy_error_text(-r) != NULL);
                return r;
        }
        FUZZ_CHECK((size_t)r <= size && r <= PROXY_MOST);
        FUZZ_CHECK(endpoints.source.family == endpoints.destination.family ||
                   (endpoints.source.family != AF_UNSPEC &&
                    endpoints.destination.family != AF_UNSPEC));
        check_address(&endpoints.source);
        check_address(&endpoints.destination);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const int whole = parse(data, size);
        size_t decided = 0;
        int r = parse(data, 0);

        FUZZ_CHECK(r == 0);
        /* A checksum of each beginning of a long header would take too long. */
        while (r == 0 && decided < size && decided < 512)
                r = parse(data, ++decided);
        if (r == 0)
                return 0;
        FUZZ_CHECK(r == whole);
        FUZZ_CHECK(r < 0 || (size_t)r == decided);
        return 0;
}
