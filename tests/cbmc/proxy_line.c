/* SPDX-License-Identifier: MIT */
/* cbmc: src/handler/proxy.c src/lib/address.c --unwind 16 */
/* smaller: s/LINE_MOST = 107/LINE_MOST = 14/ src/handler/proxy.c */
/* smaller: s/"PROXY "/"P "/;s/"UNKNOWN"/"U"/;s/"TCP\([46]\)"/"\1"/ src/handler/proxy.c */
/* Whatever line a peer sends, proxy_parse() reads no byte beyond what has come, and takes a header
 * as a whole or not at all. The longest line itself would take minutes. */
#include "handler/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "prove.h"

enum {
        LINE_MOST = 14,
        SIZE = LINE_MOST - 1, /* a line with addresses has room, and one that goes on behind it */
};

void *memchr(const void *bytes, int wanted, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (((const unsigned char *)bytes)[i] == wanted)
                        return (char *)bytes + i;
        return NULL;
}

char *strsep(char **restrict rest, const char *restrict separators) {
        char *word = *rest, *end = word;

        if (word == NULL)
                return NULL;
        while (*end != '\0' && *end != separators[0])
                end++;
        *rest = *end == '\0' ? NULL : end + 1;
        *end = '\0';
        return word;
}

/* Any text but none may be an address or a number. */
int inet_pton(int family, const char *restrict text, void *restrict address) {
        fill(address, family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr));
        return strlen(text) > 0 && nondet_bool();
}

/* Proves what proxy_parse() promises of a header of @length bytes. */
static void prove_header(const uint8_t *bytes, int length, bool has_addresses) {
        for (int i = 0; i < length; i++) {
                prove((bytes[i] == '\r') == (i == length - 2) &&
                                      (bytes[i] == '\n') == (i == length - 1),
                      "a header is one line with CR and LF at its end");
                prove(!has_addresses || bytes[i] != '\0', "a header with addresses has no NUL");
        }
}

int number_parse(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_number) {
        *ret_number = nondet_uint64();
        assume(*ret_number >= minimum && *ret_number <= maximum);
        return strlen(text) > 0 && nondet_bool() ? 0 : -EINVAL;
}

void harness(void) {
        uint8_t bytes[SIZE];
        ProxyEndpoints endpoints = {};
        int r;

        fill(bytes, sizeof bytes);
        assume(bytes[0] != '\r');

        r = proxy_parse(bytes, sizeof bytes, &endpoints);
        prove(r > -PROXY_VERSION, "an error is one of version 1");
        prove(r <= SIZE, "a header is among the bytes");
        prove(r > 0 || endpoints.source.family == AF_UNSPEC, "a wrong header has no address");
        if (r > 0)
                prove_header(bytes, r, endpoints.source.family != AF_UNSPEC);
}
