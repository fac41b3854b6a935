/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/endpoint.c src/lib/number.c --unwind 14 */
/* Whatever text it gets, endpoint_parse() reads no byte beyond it and returns either a sentence or
 * an endpoint that bind(2) can take. */
#include "lib/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "prove.h"

enum {
        SIZE = 13,
};

static struct addrinfo found;
static union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
} name;
static int borrowed;

int inet_pton(int family, const char *restrict text, void *restrict address) {
        (void)family;
        (void)text;
        fill(address, sizeof(struct in_addr));
        return nondet_bool();
}

int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict result) {
        const bool is_ipv6 = hints->ai_family == AF_INET6;

        (void)host;
        (void)service;
        prove((hints->ai_flags & AI_NUMERICHOST) != 0, "no name server is asked");
        if (nondet_bool())
                return EAI_NONAME;
        fill(&name, sizeof name);
        name.any.sa_family = (sa_family_t)hints->ai_family;
        found = (struct addrinfo){ .ai_addr = &name.any,
                                   .ai_addrlen = is_ipv6 ? sizeof name.ipv6 : sizeof name.ipv4 };
        *result = &found;
        borrowed++;
        return 0;
}

void freeaddrinfo(struct addrinfo *result) {
        prove(result == &found, "what was found is freed");
        borrowed--;
}

void harness(void) {
        char text[SIZE];
        Endpoint endpoint;
        const char *why = NULL;
        int r;

        fill_text(text, sizeof text);
        r = endpoint_parse(text, &endpoint, &why);
        prove(r == 0 || r == -EINVAL, "endpoint_parse() returns 0 or -EINVAL");
        prove(r == 0 || why != NULL, "endpoint_parse() explains what is wrong");
        prove(borrowed == 0, "endpoint_parse() frees what getaddrinfo(3) found");
        prove(r < 0 || (endpoint.length > sizeof(sa_family_t) &&
                        endpoint.length <= sizeof endpoint.local),
              "the endpoint has a length");
        prove(r < 0 || endpoint_is_local(text) == (endpoint.any.sa_family == AF_UNIX),
              "a path or an abstract name is a Unix socket's");
        prove(r < 0 || endpoint_is_internet(text) == (endpoint.any.sa_family == AF_INET ||
                                                      endpoint.any.sa_family == AF_INET6),
              "no other address is one of the internet");
}
