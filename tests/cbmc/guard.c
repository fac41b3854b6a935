/* SPDX-License-Identifier: MIT */
/* cbmc: src/handler/guard.c src/lib/address.c --unwind 5 */
/* guard_check() answers no source that is many hosts, none or a service, and never itself. */
#include "handler/guard.h"

#include "prove.h"

void harness(void) {
        GuardRequest request;
        const Address *source = &request.source, *destination = &request.destination;
        const uint8_t *bytes = (const uint8_t *)&source->ipv4;

        fill(&request, sizeof request);
        if (guard_check(&request) != GUARD_ANSWER || source->family == AF_UNIX)
                return;

        prove(source->family == destination->family, "both addresses have one family");
        prove(source->family == AF_INET || source->family == AF_INET6, "a source has an address");
        prove(source->port >= 1024 && source->port != 2049, "no service is answered");
        prove(source->family != AF_INET || (bytes[0] > 0 && bytes[0] < 224),
              "an IPv4 source is one host");
        prove(source->family != AF_INET || bytes[0] != 127 || request.interface == 1 ||
                              (request.interface == 0 &&
                               *(const uint8_t *)&destination->ipv4 == 127),
              "a loopback address comes from this host");
        prove(source->family != AF_INET6 || source->ipv6.s6_addr[0] != 0xff,
              "an IPv6 source is one host");
        prove(source->family != AF_INET || source->port != destination->port ||
                              source->ipv4.s_addr != destination->ipv4.s_addr,
              "the guard does not answer its own socket");
}
