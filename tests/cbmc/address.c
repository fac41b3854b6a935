/* SPDX-License-Identifier: MIT */
/* cbmc: src/lib/address.c --unwind 20 */
/* smaller: s/ADDRESS_TEXT_SIZE = 72/ADDRESS_TEXT_SIZE = 18/ src/lib/address.h */
/* address_cut_host() and address_cut_source() read no byte beyond any text and write none beyond
 * their room; address_from_peer() and address_source() stay within any name that the kernel
 * returns. */
#include "lib/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "prove.h"

int inet_pton(int family, const char *restrict text, void *restrict address) {
        (void)family;
        (void)strlen(text);
        fill(address, sizeof(struct in6_addr));
        return nondet_bool();
}

const char *inet_ntop(int family, const void *restrict address, char *restrict text,
                      socklen_t size) {
        prove(__CPROVER_r_ok(address, family == AF_INET ? 4 : 16), "the address is whole");
        fill_text(text, size);
        return text;
}

size_t strcspn(const char *text, const char *rejected) {
        size_t length = 0;

        while (text[length] != '\0' && text[length] != rejected[0])
                length++;
        return length;
}

/* Copies the text of "%.*s" and "%s"; everything else becomes any text. */
int snprintf(char *restrict text, size_t size, const char *restrict format, ...) {
        const bool has_width = strcmp(format, "%.*s") == 0;
        int width = INT32_MAX;
        const char *from;
        va_list list;
        size_t n = 0;

        prove(__CPROVER_w_ok(text, size), "snprintf() has as much room as it is said");
        if (!has_width && strcmp(format, "%s") != 0) {
                fill_text(text, size);
                return 0;
        }
        va_start(list, format);
        if (has_width)
                width = va_arg(list, int);
        from = va_arg(list, const char *);
        va_end(list);
        prove(width >= 0, "the host has a length");
        for (; n + 1 < size && n < (size_t)width && from[n] != '\0'; n++)
                text[n] = from[n];
        text[n] = '\0';
        return 0;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size) {
        (void)fd;
        (void)level;
        (void)name;
        fill(value, *size);
        errno = ENOTCONN;
        return nondet_bool() ? 0 : -1;
}

void harness(void) {
        char text[ADDRESS_TEXT_SIZE], host[ADDRESS_TEXT_SIZE], source[ADDRESS_TEXT_SIZE];
        struct sockaddr_storage name;
        Address address;

        fill_text(text, sizeof text);
        address_cut_host(text, host);
        prove(strlen(host) <= strlen(text), "a host is part of the text");
        address_cut_source(text, source);

        fill(&name, sizeof name);
        if (address_from_peer(3, &name, &address) < 0)
                return;
        prove(address_source(&address).family_and_scope >> 32 == address.family,
              "sources differ by family");
        address_format(&address, text);
}
