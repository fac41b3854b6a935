/* SPDX-License-Identifier: MIT */
/*
 * Writes PROXY headers. Each form is a valid header of version 1 or 2, or has one wrong part. So
 * the answer of a server shows what it checks.
 *
 * The parser of the service (handler/proxy.c) is another reading of the same specification; the two
 * share no code, and the unit tests of this file hold them against each other.
 */
#include "client/network/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

enum {
        FIXED_SIZE = 16,
        AT_COMMAND = 12,
        AT_FAMILY = 13,
        AT_LENGTH = 14,
        SHORT_LENGTH = 11, /* a byte less than the addresses of IPv4 */
};

static const char *const form_names[PROXY_HEADER_FORMS] = {
        [PROXY_HEADER_NONE] = "",
        [PROXY_HEADER_1] = "1",
        [PROXY_HEADER_2] = "2",
        [PROXY_HEADER_UNKNOWN] = "unknown",
        [PROXY_HEADER_LOCAL] = "local",
        [PROXY_HEADER_NO_CR] = "no-cr",
        [PROXY_HEADER_LONG] = "long",
        [PROXY_HEADER_PROTOCOL] = "protocol",
        [PROXY_HEADER_ADDRESS] = "address",
        [PROXY_HEADER_PORT] = "port",
        [PROXY_HEADER_SIGNATURE] = "signature",
        [PROXY_HEADER_VERSION] = "version",
        [PROXY_HEADER_COMMAND] = "command",
        [PROXY_HEADER_FAMILY] = "family",
        [PROXY_HEADER_SHORT] = "short",
        [PROXY_HEADER_TLV] = "tlv",
        [PROXY_HEADER_CHECKSUM] = "checksum",
};

/* Parses an internet address with a port that ends at @end. */
static int proxy_header_parse_endpoint(const char *text, size_t length, Endpoint *ret_endpoint) {
        char copy[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;
        const char *why;

        if (length >= sizeof copy)
                return -EINVAL;
        memcpy(copy, text, length);
        copy[length] = '\0';
        if (endpoint_parse(copy, &endpoint, &why) < 0 || endpoint.wildcard ||
            (endpoint.any.sa_family != AF_INET && endpoint.any.sa_family != AF_INET6))
                return -EINVAL;
        *ret_endpoint = endpoint;
        return 0;
}

int proxy_header_parse(const char *text, ProxyHeader *ret_header) {
        const size_t length = strcspn(text, ",");
        ProxyHeader header = { .form = PROXY_HEADER_1 };
        const char *source, *comma;

        while (header.form < PROXY_HEADER_FORMS &&
               (strlen(form_names[header.form]) != length ||
                strncmp(form_names[header.form], text, length) != 0))
                header.form++;
        if (header.form == PROXY_HEADER_FORMS)
                return -EINVAL;
        if (text[length] == ',') {
                source = text + length + 1;
                comma = strchr(source, ',');
                if (comma == NULL ||
                    proxy_header_parse_endpoint(source, (size_t)(comma - source), &header.source) <
                                    0 ||
                    proxy_header_parse_endpoint(comma + 1, strlen(comma + 1), &header.destination) <
                                    0 ||
                    header.source.any.sa_family != header.destination.any.sa_family)
                        return -EINVAL;
        }
        *ret_header = header;
        return 0;
}

static bool form_is_line(ProxyHeaderForm form) {
        return form == PROXY_HEADER_1 || form == PROXY_HEADER_UNKNOWN ||
               form == PROXY_HEADER_NO_CR || form == PROXY_HEADER_LONG ||
               form == PROXY_HEADER_PROTOCOL || form == PROXY_HEADER_ADDRESS ||
               form == PROXY_HEADER_PORT;
}

static const void *endpoint_host(const Endpoint *endpoint) {
        return endpoint->any.sa_family == AF_INET ? (const void *)&endpoint->ipv4.sin_addr
                                                  : (const void *)&endpoint->ipv6.sin6_addr;
}

/* Writes a line of version 1. Returns its length. */
static size_t proxy_header_format_line(ProxyHeaderForm form, int family, const Endpoint *source,
                                       const Endpoint *destination, char *text) {
        const char *end = form == PROXY_HEADER_NO_CR ? "\n" : "\r\n";
        const char *protocol = form == PROXY_HEADER_PROTOCOL ? "UDP" : "TCP";
        char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

        if (form == PROXY_HEADER_LONG)
                return (size_t)snprintf(text, PROXY_HEADER_SIZE, "PROXY UNKNOWN %0100d%s", 0, end);
        if (form == PROXY_HEADER_UNKNOWN || (family == AF_UNSPEC && form < PROXY_HEADER_PROTOCOL))
                return (size_t)snprintf(text, PROXY_HEADER_SIZE, "PROXY UNKNOWN%s", end);
        if (family == AF_UNSPEC)
                return (size_t)snprintf(text, PROXY_HEADER_SIZE, "PROXY %s4%s", protocol, end);
        inet_ntop(family, endpoint_host(source), from, sizeof from);
        inet_ntop(family, endpoint_host(destination), to, sizeof to);
        return (size_t)snprintf(text, PROXY_HEADER_SIZE,
                                "PROXY %s%c %s %s %s%" PRIu32 " %" PRIu32 "%s", protocol,
                                (family == AF_INET) == (form != PROXY_HEADER_ADDRESS) ? '4' : '6',
                                from, to, form == PROXY_HEADER_PORT ? "0" : "",
                                endpoint_port(source), endpoint_port(destination), end);
}

static size_t put(uint8_t *bytes, size_t at, const void *data, size_t size) {
        memcpy(bytes + at, data, size);
        return at + size;
}

static size_t put16(uint8_t *bytes, size_t at, unsigned number) {
        bytes[at] = (uint8_t)(number >> 8);
        bytes[at + 1] = (uint8_t)number;
        return at + 2;
}

/* Writes the addresses of version 2. Returns where they end. */
static size_t proxy_header_put_endpoints(int family, const Endpoint *source,
                                         const Endpoint *destination, uint8_t *bytes) {
        const size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
        size_t at = FIXED_SIZE;

        at = put(bytes, at, endpoint_host(source), size);
        at = put(bytes, at, endpoint_host(destination), size);
        at = put16(bytes, at, endpoint_port(source));
        return put16(bytes, at, endpoint_port(destination));
}

/* Writes a header of version 2. Returns its length. */
static size_t proxy_header_format_binary(ProxyHeaderForm form, int family, const Endpoint *source,
                                         const Endpoint *destination, uint8_t *bytes) {
        /* A header has this checksum with a probability of 2^-32. */
        static const uint8_t wrong_checksum[] = { 3, 0, 4, 0xde, 0xad, 0xbe, 0xef };
        static const uint8_t long_tlv[] = { 4, 0, 7 };
        size_t at = FIXED_SIZE;

        (void)put(bytes, 0, SIGNATURE, sizeof SIGNATURE - 1);
        bytes[AT_COMMAND] = form == PROXY_HEADER_LOCAL ? 0x20 : 0x21;
        bytes[AT_FAMILY] = 0;
        if (form != PROXY_HEADER_LOCAL && family != AF_UNSPEC) {
                bytes[AT_FAMILY] = family == AF_INET ? 0x11 : 0x21;
                at = proxy_header_put_endpoints(family, source, destination, bytes);
        }
        if (form == PROXY_HEADER_TLV)
                at = put(bytes, at, long_tlv, sizeof long_tlv);
        else if (form == PROXY_HEADER_CHECKSUM)
                at = put(bytes, at, wrong_checksum, sizeof wrong_checksum);
        (void)put16(bytes, AT_LENGTH, (unsigned)(at - FIXED_SIZE));

        if (form == PROXY_HEADER_SIGNATURE)
                bytes[AT_COMMAND - 1] = '\r';
        else if (form == PROXY_HEADER_VERSION)
                bytes[AT_COMMAND] = 0x11;
        else if (form == PROXY_HEADER_COMMAND)
                bytes[AT_COMMAND] = 0x22;
        else if (form == PROXY_HEADER_FAMILY)
                bytes[AT_FAMILY] = 0x41;
        if (form != PROXY_HEADER_SHORT)
                return at;
        bytes[AT_FAMILY] = 0x11;
        (void)put16(bytes, AT_LENGTH, SHORT_LENGTH);
        memset(bytes + FIXED_SIZE, 0, SHORT_LENGTH);
        return FIXED_SIZE + SHORT_LENGTH;
}

size_t proxy_header_format(const ProxyHeader *header, const Endpoint *source,
                           const Endpoint *destination,
                           uint8_t ret_bytes[static PROXY_HEADER_SIZE]) {
        int family = source->any.sa_family;

        if (family != destination->any.sa_family || (family != AF_INET && family != AF_INET6))
                family = AF_UNSPEC;
        return form_is_line(header->form) ? proxy_header_format_line(header->form, family, source,
                                                                     destination, (char *)ret_bytes)
                                          : proxy_header_format_binary(header->form, family, source,
                                                                       destination, ret_bytes);
}

int proxy_header_send(const ProxyHeader *header, int fd) {
        struct sockaddr_storage peer = {};
        socklen_t length = sizeof peer;
        Endpoint source = header->source, destination = header->destination;
        uint8_t bytes[PROXY_HEADER_SIZE];
        ssize_t sent;
        size_t size;
        int r;

        if (header->form == PROXY_HEADER_NONE)
                return 0;
        if (source.length == 0) {
                r = endpoint_from_socket(fd, &source);
                if (r < 0)
                        return r;
                if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
                        return -errno;
                memcpy(&destination.local, &peer, sizeof destination.local);
        }
        size = proxy_header_format(header, &source, &destination, bytes);
        /* There is room on a new connection. */
        sent = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
                return -errno;
        return sent == (ssize_t)size ? 0 : -ENOBUFS;
}
