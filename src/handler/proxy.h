/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "handler/echo.h"
#include "lib/address.h"

/* The header of the PROXY protocol, versions 1 and 2, by which a proxy announces the endpoints of
 * the connection that it forwards (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). */

/* The endpoints that a header announces. All zeros mean those of the connection itself: of LOCAL,
 * of UNKNOWN, and of Unix sockets, whose names identify no user. */
typedef struct ProxyEndpoints {
        Address source;
        Address destination;
} ProxyEndpoints;

/* Why a connection has no valid header: a closed list, the same in exit codes and records. */
typedef enum ProxyError {
        PROXY_MISSING = 1, /* the first bytes are those of neither version */
        PROXY_LINE_LONG,   /* version 1: no end within 107 bytes */
        PROXY_LINE_END,    /* version 1: CR or LF alone */
        PROXY_LINE_FAMILY, /* version 1: none of TCP4, TCP6 and UNKNOWN */
        PROXY_ADDRESS,     /* version 1: an address is wrong or missing */
        PROXY_PORT,        /* version 1: a port is wrong or missing, or more follows */
        PROXY_VERSION,     /* the signature of version 2 and another version */
        PROXY_COMMAND,     /* neither LOCAL nor PROXY */
        PROXY_FAMILY,      /* an unassigned address family or transport protocol */
        PROXY_SHORT,       /* too short for its addresses */
        PROXY_LONG,        /* longer than PROXY_MOST */
        PROXY_TLV,         /* a TLV exceeds the header, or its checksum is no checksum */
        PROXY_CHECKSUM,    /* the checksum differs */
        PROXY_TIMEOUT,     /* it is not complete in time */
        PROXY_CLOSED,      /* the peer ended the connection before */
        PROXY_ERRORS,
} ProxyError;

enum {
        /* The longest header in bytes, as in HAProxy. */
        PROXY_MOST = 16384,
};

/*
 * proxy_parse: Parses the header at the beginning of the @size bytes at @bytes, all that the peer
 * has sent so far. Bytes behind the header do not matter.
 *
 * Returns the length of the header and sets @ret_endpoints; 0 when the header goes on behind @size,
 * which is then less than PROXY_MOST; or a negative ProxyError, one of the first thirteen.
 */
int proxy_parse(const uint8_t *bytes, size_t size, ProxyEndpoints *ret_endpoints);

/*
 * proxy_read: Reads a header from echo->in, behind the bytes of it that are unsent already, for at
 * most 5 seconds in all. Leaves the timeout of reads (SO_RCVTIMEO, socket(7)) changed.
 *
 * Returns 0 and sets @ret_endpoints: the unsent bytes are then those behind the header. -ECANCELED
 * when `stopping` ends it: the unsent bytes are all that have come. Otherwise a ProxyError.
 */
int proxy_read(Echo *echo, ProxyEndpoints *ret_endpoints);

/* proxy_error_text: Returns half a sentence for records that explains @error, a constant string;
 * NULL for a number outside of the list. */
const char *proxy_error_text(int error);
