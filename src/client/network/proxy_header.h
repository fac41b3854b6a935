/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/endpoint.h"

/* The header of the PROXY protocol (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)
 * that the client sends first, as a proxy does; or a wrong one, to test servers. */

typedef enum ProxyHeaderForm {
        PROXY_HEADER_NONE,
        PROXY_HEADER_1, /* versions 1 and 2 */
        PROXY_HEADER_2,
        PROXY_HEADER_UNKNOWN, /* no addresses: version 1, version 2 */
        PROXY_HEADER_LOCAL,
        PROXY_HEADER_NO_CR, /* version 1: LF alone at the end */
        PROXY_HEADER_LONG,  /* more than 107 bytes before the end */
        PROXY_HEADER_PROTOCOL,
        PROXY_HEADER_ADDRESS,   /* of the other family than the protocol */
        PROXY_HEADER_PORT,      /* a leading zero */
        PROXY_HEADER_SIGNATURE, /* version 2 */
        PROXY_HEADER_VERSION,
        PROXY_HEADER_COMMAND,
        PROXY_HEADER_FAMILY,
        PROXY_HEADER_SHORT, /* a length that ends within the addresses */
        PROXY_HEADER_TLV,   /* longer than the header */
        PROXY_HEADER_CHECKSUM,
        PROXY_HEADER_FORMS,
} ProxyHeaderForm;

typedef struct ProxyHeader {
        ProxyHeaderForm form;
        /* Internet addresses of one family; of length 0 for those of the connection. */
        Endpoint source;
        Endpoint destination;
} ProxyHeader;

enum {
        PROXY_HEADER_SIZE = 256,
};

/*
 * proxy_header_parse: Parses "FORM" or "FORM,SOURCE,DESTINATION". FORM is 1, 2, local, unknown, or
 * a wrong form of the list in mpecho-client(1). An address has a port and is numeric.
 *
 * Returns 0 and sets @ret_header, or -EINVAL.
 */
int proxy_header_parse(const char *text, ProxyHeader *ret_header);

/*
 * proxy_header_format: Writes the header for a connection from @source to @destination. Those of
 * other families than IPv4 and IPv6, or of two, are not named; wrong forms are wrong without them,
 * too.
 *
 * Returns its length.
 */
size_t proxy_header_format(const ProxyHeader *header, const Endpoint *source,
                           const Endpoint *destination,
                           uint8_t ret_bytes[static PROXY_HEADER_SIZE]);

/*
 * proxy_header_send: Sends the header on @fd, which has just connected. Does nothing without a
 * form.
 *
 * Returns 0; or a negative errno of getsockname(2), getpeername(2) or send(2): -ENOBUFS when the
 * kernel took a part of it.
 */
int proxy_header_send(const ProxyHeader *header, int fd);
