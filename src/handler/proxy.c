/* SPDX-License-Identifier: MIT */
/*
 * Reads and parses PROXY headers. proxy_parse() gets all bytes that a peer has sent and has no
 * state: after each read it gets all of them again.
 *
 * Version 1 is a line of text, "PROXY TCP4 192.0.2.7 192.0.2.1 51234 7" with CR and LF. Version 2
 * is binary: a signature, a command, the two endpoints, and TLVs, which are skipped. One of these
 * TLVs is a checksum (CRC32c, RFC 3720 B.4) of the whole header, in which it counts as zeros.
 *
 * The parser is as strict as the specification allows: one wrong byte means that a client reaches
 * a port for proxies, or that a proxy speaks to a wrong port. It must never guess whether there is
 * a header, and never look beyond @size.
 *
 * A read takes all that has come. Bytes behind the header become unsent bytes, which the echo
 * writes first. All reads together end at one instant, so a peer that sends byte after byte has no
 * more time than a silent one. When the service stops, the bytes that have come stay unsent: they
 * go to the next handler with the connection. No byte may be echoed before the header is complete.
 */
#include "handler/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/number.h"
#include "lib/socket.h"

/* How long a header may take in all. */
#define PATIENCE (5 * CLOCK_SECOND)

#define LINE_START "PROXY "
#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"

enum {
        LINE_START_SIZE = sizeof LINE_START - 1,
        LINE_MOST = 107, /* with CR and LF */
        SIGNATURE_SIZE = sizeof SIGNATURE - 1,
        FIXED_SIZE = SIGNATURE_SIZE + 4, /* command, family, length */
        TLV_FIXED_SIZE = 3,              /* type, length */
        TLV_CHECKSUM = 0x03,
        CHECKSUM_SIZE = 4,
};

static const char *const error_texts[PROXY_ERRORS] = {
        [PROXY_MISSING] = "the first bytes are no PROXY header",
        [PROXY_LINE_LONG] = "the line has no end within 107 bytes",
        [PROXY_LINE_END] = "the line does not end with CR and LF",
        [PROXY_LINE_FAMILY] = "the line has an unknown protocol",
        [PROXY_ADDRESS] = "the line has a wrong address",
        [PROXY_PORT] = "the line has a wrong port",
        [PROXY_VERSION] = "the version is unknown",
        [PROXY_COMMAND] = "the command is unknown",
        [PROXY_FAMILY] = "the address family or protocol is unknown",
        [PROXY_SHORT] = "the header is too short for its addresses",
        [PROXY_LONG] = "the header is longer than 16384 bytes",
        [PROXY_TLV] = "a TLV is malformed",
        [PROXY_CHECKSUM] = "the checksum is wrong",
        [PROXY_TIMEOUT] = "no PROXY header came in time",
        [PROXY_CLOSED] = "the connection ended before its PROXY header",
};

const char *proxy_error_text(int error) {
        return error > 0 && error < PROXY_ERRORS ? error_texts[error] : NULL;
}

/* Cuts the next word off @rest; returns an empty one when none is left. */
static const char *line_word(char **rest) {
        const char *word = strsep(rest, " ");

        return word != NULL ? word : "";
}

static bool line_port(const char *text, in_port_t *ret_port) {
        uint64_t port;

        if ((text[0] == '0' && text[1] != '\0') || number_parse(text, 0, UINT16_MAX, &port) < 0)
                return false;
        *ret_port = (in_port_t)port;
        return true;
}

/* Parses what follows the protocol of @family. Returns 0 or a negative ProxyError. */
static int line_endpoints(char *rest, int family, ProxyEndpoints *ret_endpoints) {
        const size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
        uint8_t source[sizeof(struct in6_addr)], destination[sizeof(struct in6_addr)];
        in_port_t source_port, destination_port;

        if (inet_pton(family, line_word(&rest), source) != 1 ||
            inet_pton(family, line_word(&rest), destination) != 1)
                return -PROXY_ADDRESS;
        if (!line_port(line_word(&rest), &source_port) ||
            !line_port(line_word(&rest), &destination_port) || rest != NULL)
                return -PROXY_PORT;
        ret_endpoints->source = address_from_bytes(source, size, source_port);
        ret_endpoints->destination = address_from_bytes(destination, size, destination_port);
        return 0;
}

/* Parses a whole line without its end. Returns 0 or a negative ProxyError. */
static int line_parse(const uint8_t *bytes, size_t length, ProxyEndpoints *ret_endpoints) {
        char line[LINE_MOST], *rest = line + LINE_START_SIZE;
        const char *protocol;

        memcpy(line, bytes, length);
        line[length] = '\0';
        protocol = line_word(&rest);
        /* A receiver ignores all that follows UNKNOWN. */
        if (strcmp(protocol, "UNKNOWN") == 0)
                return 0;
        /* A NUL would end a word here, and no line contains one. */
        if (memchr(bytes, '\0', length) != NULL)
                return -PROXY_LINE_FAMILY;
        if (strcmp(protocol, "TCP4") == 0)
                return line_endpoints(rest, AF_INET, ret_endpoints);
        if (strcmp(protocol, "TCP6") == 0)
                return line_endpoints(rest, AF_INET6, ret_endpoints);
        return -PROXY_LINE_FAMILY;
}

/* Parses version 1; returns what proxy_parse() does. */
static int proxy_parse_line(const uint8_t *bytes, size_t size, ProxyEndpoints *ret_endpoints) {
        const size_t most = size < LINE_MOST ? size : LINE_MOST;
        const uint8_t *end = memchr(bytes, '\r', most);
        size_t length = end != NULL ? (size_t)(end - bytes) : most;
        int r;

        if (memchr(bytes, '\n', length) != NULL)
                return -PROXY_LINE_END;
        if (length + 2 > LINE_MOST)
                return -PROXY_LINE_LONG;
        if (length + 2 > size)
                return 0;
        if (bytes[length + 1] != '\n')
                return -PROXY_LINE_END;
        r = line_parse(bytes, length, ret_endpoints);
        return r < 0 ? r : (int)length + 2;
}

/* Returns the CRC32c of @size bytes, in which those of the checksum itself are zeros. */
static uint32_t proxy_checksum(const uint8_t *bytes, size_t size, size_t own) {
        uint32_t sum = UINT32_MAX;

        for (size_t i = 0; i < size; i++) {
                sum ^= i - own < CHECKSUM_SIZE ? 0 : bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        sum = sum >> 1 ^ (sum & 1 ? UINT32_C(0x82f63b78) : 0);
        }
        return ~sum;
}

static size_t number16(const uint8_t *bytes) {
        return (size_t)bytes[0] << 8 | bytes[1];
}

static uint32_t number32(const uint8_t *bytes) {
        return (uint32_t)(number16(bytes) << 16 | number16(bytes + 2));
}

/* Goes through the TLVs from @at to the end of the header. Returns 0 or a negative ProxyError. */
static int proxy_check_tlvs(const uint8_t *bytes, size_t at, size_t size) {
        size_t checksum = 0;

        while (at < size) {
                size_t length;

                if (size - at < TLV_FIXED_SIZE)
                        return -PROXY_TLV;
                length = number16(bytes + at + 1);
                if (size - at - TLV_FIXED_SIZE < length)
                        return -PROXY_TLV;
                if (bytes[at] == TLV_CHECKSUM) {
                        if (length != CHECKSUM_SIZE || checksum != 0)
                                return -PROXY_TLV;
                        checksum = at + TLV_FIXED_SIZE;
                }
                at += TLV_FIXED_SIZE + length;
        }
        if (checksum != 0 && proxy_checksum(bytes, size, checksum) != number32(bytes + checksum))
                return -PROXY_CHECKSUM;
        return 0;
}

/* Returns the size of both endpoints of a family and protocol; negative for an unassigned one. */
static int proxy_endpoints_size(uint8_t family) {
        switch (family) {
        case 0x00:
                return 0;
        case 0x11:
        case 0x12:
                return 2 * (int)(sizeof(struct in_addr) + sizeof(in_port_t));
        case 0x21:
        case 0x22:
                return 2 * (int)(sizeof(struct in6_addr) + sizeof(in_port_t));
        case 0x31:
        case 0x32:
                return 2 * 108;
        default:
                return -PROXY_FAMILY;
        }
}

/* Sets @ret_endpoints from endpoints of @size bytes. Those of Unix sockets name no user. */
static void proxy_set_endpoints(const uint8_t *bytes, size_t size, ProxyEndpoints *ret_endpoints) {
        const size_t length = size / 2 - sizeof(in_port_t);
        const uint8_t *ports;

        if (length != sizeof(struct in_addr) && length != sizeof(struct in6_addr))
                return;
        ports = bytes + 2 * length;
        ret_endpoints->source = address_from_bytes(bytes, length, (in_port_t)number16(ports));
        ret_endpoints->destination =
                        address_from_bytes(bytes + length, length, (in_port_t)number16(ports + 2));
}

/* Parses version 2; returns what proxy_parse() does. */
static int proxy_parse_binary(const uint8_t *bytes, size_t size, ProxyEndpoints *ret_endpoints) {
        size_t length;
        int endpoints = 0, r;
        bool local;

        if (size > SIGNATURE_SIZE && bytes[SIGNATURE_SIZE] >> 4 != 2)
                return -PROXY_VERSION;
        if (size > SIGNATURE_SIZE && (bytes[SIGNATURE_SIZE] & 15) > 1)
                return -PROXY_COMMAND;
        if (size < FIXED_SIZE)
                return 0;
        local = (bytes[SIGNATURE_SIZE] & 15) == 0;
        length = FIXED_SIZE + number16(bytes + FIXED_SIZE - 2);
        if (!local)
                endpoints = proxy_endpoints_size(bytes[SIGNATURE_SIZE + 1]);
        if (endpoints < 0)
                return endpoints;
        if (length - FIXED_SIZE < (size_t)endpoints)
                return -PROXY_SHORT;
        if (length > PROXY_MOST)
                return -PROXY_LONG;
        if (size < length)
                return 0;

        /* A receiver ignores all that LOCAL contains. */
        if (local)
                return (int)length;
        r = proxy_check_tlvs(bytes, FIXED_SIZE + (size_t)endpoints, length);
        if (r < 0)
                return r;
        proxy_set_endpoints(bytes + FIXED_SIZE, (size_t)endpoints, ret_endpoints);
        return (int)length;
}

/* Returns whether the first of @size bytes are the beginning of @start. */
static bool proxy_begins(const uint8_t *bytes, size_t size, const char *start, size_t start_size) {
        return memcmp(bytes, start, size < start_size ? size : start_size) == 0;
}

int proxy_parse(const uint8_t *bytes, size_t size, ProxyEndpoints *ret_endpoints) {
        ProxyEndpoints endpoints = {};
        int r;

        if (size == 0)
                return 0;
        if (proxy_begins(bytes, size, SIGNATURE, SIGNATURE_SIZE))
                r = proxy_parse_binary(bytes, size, &endpoints);
        else if (!proxy_begins(bytes, size, LINE_START, LINE_START_SIZE))
                r = -PROXY_MISSING;
        else
                r = size < LINE_START_SIZE ? 0 : proxy_parse_line(bytes, size, &endpoints);
        if (r > 0)
                *ret_endpoints = endpoints;
        return r;
}

/* Reads more of the header before @deadline. Returns 0, a ProxyError, or -ECANCELED. */
static int proxy_read_more(Echo *echo, uint64_t deadline) {
        const uint64_t now = clock_now();
        ssize_t n;

        if (now >= deadline)
                return PROXY_TIMEOUT;
        /* A timeout of 0 would be none. */
        socket_set_timeout(echo->out, SO_RCVTIMEO, deadline - now + CLOCK_MICROSECOND);
        n = read(echo->in, echo->buffer + echo->unsent_size, echo->buffer_size - echo->unsent_size);
        if (n > 0)
                echo->unsent_size += (size_t)n;
        else if (n == 0)
                return *echo->stopping ? -ECANCELED : PROXY_CLOSED;
        else if (errno != EAGAIN && errno != EINTR)
                return PROXY_CLOSED;
        return 0;
}

int proxy_read(Echo *echo, ProxyEndpoints *ret_endpoints) {
        const uint64_t deadline = clock_now() + PATIENCE;
        int length, r;

        echo->unsent = echo->buffer;
        while ((length = proxy_parse((const uint8_t *)echo->buffer, echo->unsent_size,
                                     ret_endpoints)) == 0) {
                r = proxy_read_more(echo, deadline);
                if (r != 0)
                        return r;
        }
        if (length < 0)
                return -length;
        echo->unsent += length;
        echo->unsent_size -= (size_t)length;
        return 0;
}
